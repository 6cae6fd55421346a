"""The studies: what can be searched, one file for each."""
