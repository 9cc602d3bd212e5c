"""Deadlines on their way: what is left, and the instant on a clock that not everyone shares.

A call carries both. `x-timeout-ms` is what is left of it as it is sent, counted by its receiver from
the arrival. `x-deadline-at` is the same end as an instant of the monotonic clock, with the id of that clock in
front. A receiver that reads the same clock uses the earlier of the two. Any other uses the first. So
no two wall clocks need to agree. Between processes of one machine a call ages while it lies in a
socket.
"""

from __future__ import annotations

import re
import secrets
import time
from hashlib import blake2b
from math import inf
from pathlib import Path
from typing import Final

from common.erros import invalido, prazo_esgotado
from common.option_types import DEADLINE_DEFAULT_S
from common.servicos.protocolo.contexto import Contexto
from common.settings import HOP_RESERVE_S

# Names on the wire, the same in gRPC metadata and HTTP headers.
HEADER_TIMEOUT: Final = "x-timeout-ms"
HEADER_DEADLINE: Final = "x-deadline-at"
# Milliseconds. A day; a longer wait for an order is a mistake.
TIMEOUT_MAX_MS: Final = 86_400_000
# An instant as it travels, whoever's clock it is of: the clock's id and nanoseconds.
INSTANTE: Final = "[0-9A-Za-z._-]{1,64}:[0-9]{1,19}"

_INSTANTE: Final = re.compile(INSTANTE)


def clock_id() -> str:
    """The id of this process's monotonic clock: of one boot, in one time namespace.

    Where the system does not tell these, nobody else has the id, so that no two clocks are mixed up.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_bytes()
        # Namespaces move the monotonic clock of a container by an offset of their own.
        namespace = Path("/proc/self/ns/time").stat().st_ino
    except OSError:
        return secrets.token_hex(8)
    return blake2b(boot + str(namespace).encode(), digest_size=8).hexdigest()


RELOGIO: Final = clock_id()

_OURS: Final = f"{RELOGIO}:"


def ours(at: str | None) -> bool:
    """True for an instant of this process's own clock."""
    return at is not None and at.startswith(_OURS)


def deadline(
    since: float,
    timeout_ms: str | None = None,
    at: str | None = None,
    left_until: float = inf,
) -> float:
    """The instant (monotonic) by which a hop must have answered, its own reserve kept back.

    A call has waited here since the instant `since`. `timeout_ms` and `at` are what came with it,
    `left_until` is the end that the transport itself knows. The earliest counts; with none of them
    the default does. Raises ErroServico (invalid) for a text that is not what its name says.
    """
    until = left_until
    if timeout_ms is not None:
        until = min(until, since + _milliseconds(timeout_ms) / 1e3)
    if at is not None:
        until = min(until, _instant(at))
    if until == inf:
        until = since + DEADLINE_DEFAULT_S
    return min(until, since + TIMEOUT_MAX_MS / 1e3) - HOP_RESERVE_S


def _milliseconds(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(TIMEOUT_MAX_MS))):
        raise invalido(HEADER_TIMEOUT, "deve ser um número inteiro de milissegundos")
    value = int(text)
    if not 1 <= value <= TIMEOUT_MAX_MS:
        raise invalido(HEADER_TIMEOUT, f"deve estar entre 1 e {TIMEOUT_MAX_MS} milissegundos")
    return value


def _instant(text: str) -> float:
    """The instant (monotonic) that a text names; of a clock that is not ours, none."""
    if _INSTANTE.fullmatch(text) is None:
        raise invalido(HEADER_DEADLINE, "deve ser o id de um relógio, dois-pontos e nanossegundos")
    return int(text[len(_OURS) :]) / 1e9 if ours(text) else inf


def outgoing(ctx: Contexto) -> float | None:
    """Seconds left for a call that begins now; None when it has no deadline.

    Raises ErroServico (deadline) when less than a millisecond is left: what cannot finish is not
    started, and cannot be said.
    """
    if ctx.prazo == inf:
        return None
    remaining = ctx.prazo - time.monotonic()
    if remaining < 1e-3:
        raise prazo_esgotado("o prazo não deixa tempo para a próxima chamada").nunca_enviada()
    return min(remaining, TIMEOUT_MAX_MS / 1e3)


def sent(remaining: float, until: float) -> tuple[str, str]:
    """The two texts that travel, of a call with `remaining` seconds left until the instant `until`.

    Both are cut, never rounded up: on its way a deadline only comes nearer.
    """
    return str(int(remaining * 1e3)), f"{_OURS}{int(until * 1e9)}"
