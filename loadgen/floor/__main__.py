"""`python -m loadgen.floor`."""

import sys

from loadgen.floor.cli import main

sys.exit(main())
