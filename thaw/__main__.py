"""`python -m thaw`, where the command is not installed."""

from thaw.cli import main

if __name__ == "__main__":
    main()
