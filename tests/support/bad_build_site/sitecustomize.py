"""Found by every Python process whose path begins here: turns its services into a bad build."""

import os
from contextlib import ExitStack

from tests.support.bad_builds import VARIABLE, bad_build

# Held for as long as the process lives.
life = ExitStack()
life.enter_context(bad_build(os.environ[VARIABLE]))
