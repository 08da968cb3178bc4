"""`python -m flows` is `corpusflow`."""

from flows.cli import main

if __name__ == "__main__":
    main()
