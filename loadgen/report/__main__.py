"""`python -m loadgen.report`."""

import sys

from loadgen.report.cli import main

if __name__ == "__main__":
    sys.exit(main())
