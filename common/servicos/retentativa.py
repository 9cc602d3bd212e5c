"""When Pedidos, the one place that retries, tries again.

Full jitter (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/), a cap on
attempts, and a budget shared by all orders so that an outage cannot multiply the load.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

# Calls of one request, the first included. Enough to ride over a restart, few enough not to hammer.
TENTATIVAS_MAX: Final = 6
# Seconds. The first pause is at most this, then doubles up to the cap.
ESPERA_BASE_S: Final = 0.05
ESPERA_TETO_S: Final = 1.0
# Retries earned by each first call, and how many may be saved up for a bad moment.
RETENTATIVAS_POR_CHAMADA: Final = 0.1
RESERVA_MAX: Final = 100.0


def espera(tentativa: int, sorteio: float) -> float:
    """Seconds to wait after the attempt number `tentativa` (from 1); `sorteio` is in [0, 1)."""
    teto = min(ESPERA_TETO_S, ESPERA_BASE_S * 2.0 ** min(tentativa - 1, 16))
    return sorteio * teto


class Orcamento:
    """The retry budget: every first call pays in a tenth, every retry takes one out."""

    def __init__(self, sortear: Callable[[], float]) -> None:
        self._saldo = RESERVA_MAX
        self._sortear = sortear

    def primeira(self) -> None:
        """Count a first call."""
        self._saldo = min(RESERVA_MAX, self._saldo + RETENTATIVAS_POR_CHAMADA)

    def proxima(self, tentativa: int, restante_s: float) -> float | None:
        """Seconds to wait before trying again after `tentativa`, or None to leave it for later."""
        if tentativa >= TENTATIVAS_MAX or self._saldo < 1:
            return None
        pausa = espera(tentativa, self._sortear())
        if pausa >= restante_s:
            return None
        self._saldo -= 1
        return pausa
