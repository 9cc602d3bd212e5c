"""Drive the running arm with checkouts: `python -m loadgen --help`."""

import sys

from loadgen.cli import main

if __name__ == "__main__":
    sys.exit(main())
