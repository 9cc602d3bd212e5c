"""Everything that is true in every arm."""

from pathlib import Path
from typing import Final

# The project's folder: where its commands run, and where its pages are.
ROOT: Final = Path(__file__).resolve().parent.parent
