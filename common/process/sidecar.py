"""A process that runs next to the services. It is started again when it dies; they go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

from common.process.child import Say, how_it_ended, lifeline, run_errand

# Seconds before a process that died is begun again, and its ends in a row after which it is left.
PAUSE_BETWEEN_S: Final = 0.5
FINS_MAX: Final = 5
# Seconds of a life after which the ends before it count no more.
LIFE_S: Final = 30.0


@asynccontextmanager
async def beside(
    name: str, command: Sequence[str], say: Say, variables: Mapping[str, str] | None = None
) -> AsyncIterator[None]:
    """Keep the command running for the life of the block; it ends with the block.

    Its standard input is a pipe that ends with this process, `variables` are added to its
    environment.
    """
    with lifeline() as held:
        keeper = asyncio.create_task(_keep(name, command, held, say, variables or {}))
        try:
            yield
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)


async def _keep(
    name: str, command: Sequence[str], held: int, say: Say, variables: Mapping[str, str]
) -> None:
    loop, ends = asyncio.get_running_loop(), 0
    while True:
        begun = loop.time()
        code = await run_errand(command, held, variables)
        ends = 1 if loop.time() - begun > LIFE_S else ends + 1
        if ends >= FINS_MAX:
            times = f"{ends} times in a row and is left"
            say(f"{name} ended with {how_it_ended(code)} {times}; the services go on")
            return
        say(f"{name} ended with {how_it_ended(code)} and is begun again; the services go on")
        await asyncio.sleep(PAUSE_BETWEEN_S)
