"""What a service process and its supervisor say to each other."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

# The exit code of a service that cannot use its database or its port; its one sentence on standard
# error says why, and starting it again would not help.
EXIT_UNUSABLE: Final = 3


class Ready(Struct, frozen=True):
    """The line of JSON that a service prints once it answers."""

    ready: str
    address: str
    pid: int
