"""The report on unfreezing: when it pays, what else mattered, and what a search cannot tell."""
