"""A rolling restart: every service is told to stop and starts again, under load."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from typing import Final, NamedTuple

from common.erros import ENCERRANDO, REFUSED_WORDS, ErroServico
from loadgen.chaos.scenarios.stage import Figure, ScenarioResult, Stage

# From the last hop to the first, as one would: who is restarted finds those behind it at work.
IN_ORDER: Final = ("catalogo", "logistica", "fiscal", "estoque", "pagamentos", "pedidos")
# Seconds before the first restart, and between two.
CALM_S: Final = 5.0
PAUSE_S: Final = 3.0
RESTART_S: Final = 20.0
# Seconds after which a client that was refused has tried to connect again: gRPC's own pause, with
# its jitter. A call refused until then was refused by the restart.
RECONNECT_S: Final = 0.3
# What a client is told when nothing of its call was begun. Anything else is an error.
NOT_BEGUN: Final = (ENCERRANDO, REFUSED_WORDS)


class Failed(NamedTuple):
    """A call that failed: seconds since the start when it was made and when it failed."""

    asked_s: float
    failed_s: float
    categoria: str
    detail: str


class Failures:
    """What customers were told that is not an answer."""

    def __init__(self) -> None:
        self.stage: Stage | None = None
        self.seen: list[Failed] = []

    def note(self, asked: float, error: ErroServico) -> None:
        """A call made at the monotonic instant `asked` has just failed."""
        assert self.stage is not None
        now = self.stage.now()
        asked_s = now - (time.monotonic() - asked)
        self.seen.append(Failed(asked_s, now, error.categoria.value, error.detalhe))


async def rolling_restart(stage: Stage, *, callers: int, failures: Failures) -> ScenarioResult:
    """Restart all six, one after the other, while `callers` buy."""
    failures.stage = stage
    windows: dict[str, tuple[float, float]] = {}

    async def script() -> None:
        await asyncio.sleep(CALM_S)
        for service in IN_ORDER:
            begin = stage.now()
            stage.say(f"restarting {service}")
            pid = stage.arm.signal_or_fail(service, signal.SIGTERM)
            await stage.arm.whole(RESTART_S, replaced={service: pid})
            windows[service] = (begin, stage.now())
            stage.mark("restart", service, begin)
            await asyncio.sleep(PAUSE_S)

    settled, broken = await stage.play(stage.crowd.closed_loop(callers, stage.stopping), script())
    figures: list[Figure] = []
    if not broken:
        figures = _figures(stage, failures.seen, windows)
    return await stage.result(
        "rolling-restart", {"callers": str(callers)}, figures, settled, broken
    )


def _figures(
    stage: Stage, failed: list[Failed], windows: dict[str, tuple[float, float]]
) -> list[Figure]:
    begin, end = windows["pedidos"]
    refused = refused_by(failed, (begin, end + RECONNECT_S))
    base = stage.goodput(1.0, CALM_S)
    words = Counter(f"{f.categoria}: {f.detail}" for f in failed)
    figures = [
        Figure("goodput before the first restart", f"{base:.0f} a second"),
        Figure(
            "calls refused during Pedidos' own restart, nothing begun, asked again",
            str(refused),
        ),
        Figure(
            "other errors that a client saw", str(len(failed) - refused), "0",
            len(failed) == refused,
        ),
    ]  # fmt: skip
    figures += [Figure(f"  {text}", str(number)) for text, number in words.most_common(6)]
    for service, (first, last) in windows.items():
        least = _least(stage, first, last)
        figures.append(
            Figure(
                f"{service}: ready again after, least goodput of a second",
                f"{last - first:.1f} s, {least:.0f} a second",
            )
        )
    ends = stage.goodput(end + 1.0, end + PAUSE_S)
    after = f"{ends / base:.2f}" if base else "-"
    return [*figures, Figure("goodput after the last, against before", after)]


def refused_by(failed: list[Failed], window: tuple[float, float]) -> int:
    """How many of these calls were refused, with nothing begun, in a stretch of the run."""
    return sum(window[0] <= f.failed_s <= window[1] and f.detail in NOT_BEGUN for f in failed)


def _least(stage: Stage, first: float, last: float) -> float:
    """The lowest goodput of any second that begins in a stretch."""
    steps = int((last - first) / 0.25) + 1
    return min(stage.goodput(first + n * 0.25, first + n * 0.25 + 1.0) for n in range(steps))
