"""`python -m loadgen.chaos`."""

import sys

from loadgen.chaos.cli import main

if __name__ == "__main__":
    sys.exit(main())
