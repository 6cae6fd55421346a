"""The report on cyclic training: what each cycle gained and cost, and where to stop.

It is here and not in `analysis`, which imports nothing of the project: its verdicts are those of
`training.gates`, its pictures are made with weights from the store.
"""
