"""Texts of a command line as values; each refusal says which value is expected."""

from __future__ import annotations

import argparse

from common.callers import authority
from common.contratos import ESTOQUE_MAX, SERVICOS

# Seconds. The contract's default for a client that names no deadline.
DEADLINE_DEFAULT_S = 60.0
# Threads. Six services with as many each come near what a system lets its user have.
WORKERS_MAX = 4_096


def latency_range(text: str) -> tuple[float, float]:
    """Parse `0.5:1.5` or `0.5` into seconds, lowest first."""
    low, _, high = text.partition(":")
    try:
        minimum, maximum = float(low), float(high or low)
    except ValueError:
        minimum, maximum = 1.0, 0.0
    if not 0 <= minimum <= maximum <= DEADLINE_DEFAULT_S:
        msg = (
            f"expected MIN:MAX in seconds, 0 <= MIN <= MAX <= {DEADLINE_DEFAULT_S:g}, got {text!r}"
        )
        raise argparse.ArgumentTypeError(msg)
    return minimum, maximum


def share(text: str) -> float:
    """Parse a share between 0 and 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        msg = f"expected a share between 0 and 1, got {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return value


def positive(text: str) -> int:
    """Parse a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        msg = f"expected a whole number of at least 1, got {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def workers(text: str) -> int:
    """Parse a number of threads that a process may have."""
    if not text.isdecimal() or not 1 <= int(text) <= WORKERS_MAX:
        msg = f"expected a whole number from 1 to {WORKERS_MAX}, got {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def natural(text: str) -> int:
    """Parse a whole number of at least 0."""
    if not text.isdecimal():
        msg = f"expected a whole number of at least 0, got {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def stock(text: str) -> int:
    """Parse the units of each product, as many as the contract carries."""
    if not text.isdecimal() or int(text) > ESTOQUE_MAX:
        msg = f"expected a whole number from 0 to {ESTOQUE_MAX}, got {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def port(text: str) -> int:
    """Parse a port; 0 lets the system choose."""
    if not text.isdecimal() or int(text) > 65_535 - len(SERVICOS):
        msg = f"expected a port from 0 to {65_535 - len(SERVICOS)}, got {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def host_name(text: str) -> str:
    """Parse a name or an address, with or without a port."""
    if authority(text) is None:
        msg = f"expected NAME or NAME:PORT, as in a URL, got {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return text


def seconds(text: str) -> float:
    """Parse a positive number of seconds."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        msg = f"expected a positive number of seconds, got {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return value


def on_off(text: str) -> bool:
    """Parse `on` or `off`."""
    if text not in {"on", "off"}:
        msg = f"expected on or off, got {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return text == "on"
