"""When Pedidos, the one place that retries, tries again.

Full jitter (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/), a cap on
attempts, and a budget shared by all orders so that an outage cannot multiply the load.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

# Calls of one drive, the first included. Its eleven pauses last 3.8 s on average and 7.6 s at most:
# enough to ride over the restart of a service, few enough not to hammer one that is down.
DRIVE_CALLS_MAX: Final = 12
# Seconds. The first pause is at most this, then doubles up to the cap.
BACKOFF_BASE_S: Final = 0.05
BACKOFF_CAP_S: Final = 1.0
# Retries earned by each first call, and how many may be saved up for a bad moment.
RETRIES_PER_CALL: Final = 0.1
BUDGET_MAX: Final = 100.0


def espera(tentativa: int, sorteio: float) -> float:
    """Seconds to wait after the attempt number `tentativa` (from 1); `sorteio` is in [0, 1)."""
    teto = min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2.0 ** min(tentativa - 1, 16))
    return sorteio * teto


class Orcamento:
    """The retry budget: every first call pays in a tenth, every retry takes one out."""

    def __init__(self, sortear: Callable[[], float]) -> None:
        self._saldo = BUDGET_MAX
        self._sortear = sortear

    def primeira(self) -> None:
        """Count a first call."""
        self._saldo = min(BUDGET_MAX, self._saldo + RETRIES_PER_CALL)

    def proxima(self, tentativa: int, restante_s: float) -> float | None:
        """Seconds to wait before trying again after `tentativa`, or None to leave it for later."""
        if tentativa >= DRIVE_CALLS_MAX or self._saldo < 1:
            return None
        pausa = self.pausa(tentativa)
        if pausa >= restante_s:
            return None
        self._saldo -= 1
        return pausa

    def pausa(self, tentativa: int) -> float:
        """Seconds to wait after `tentativa`, drawn; takes nothing out of the budget."""
        return espera(tentativa, self._sortear())
