"""`python -m loadgen.cost`."""

import sys

from loadgen.calibration.cost import main

sys.exit(main())
