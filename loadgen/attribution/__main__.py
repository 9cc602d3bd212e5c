"""`python -m loadgen.attribution`."""

import sys

from loadgen.attribution.cli import main

sys.exit(main())
