"""What tests of threads have in common: patience, and work that begins in all of them at once."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# Seconds. Far more than anything here takes; a hang fails by name.
PATIENCE_S = 10.0
CALLERS = 8


def soon(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.001)


def all_at_once(work: Callable[[int], object], callers: int = CALLERS) -> None:
    """Have so many threads work at the same time, each with its number; raises what one raises."""
    errors: list[BaseException] = []
    start = threading.Barrier(callers)

    def run(number: int) -> None:
        start.wait(PATIENCE_S)
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    if errors:
        raise errors[0]
