"""`python -m loadgen.pacing`."""

import sys

from loadgen.calibration.pacing import main

sys.exit(main())
