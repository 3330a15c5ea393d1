"""`python -m deid_batch`, and the console script."""

from deid_batch.cli import main

if __name__ == "__main__":
    main()
