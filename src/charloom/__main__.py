"""`python -m charloom` is the command `charloom`."""

from charloom.cli import main

if __name__ == "__main__":
    main()
