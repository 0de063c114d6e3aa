"""`python -m metaspec` runs the command line."""

from metaspec.cli import main

if __name__ == "__main__":
    main()
