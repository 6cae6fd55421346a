"""The command line and the search itself."""
