"""The report of diminishing returns: where more training stops paying, for which kind of run."""
