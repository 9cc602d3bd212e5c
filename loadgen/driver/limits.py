"""What the machine lets a generator do: open files and local ports, raised as far as they go."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from common.arms import ARMS
from common.runtime.lifecycle import raise_open_files

# Files that a process has open beside its connections: libraries, pipes, the history.
OUTROS_ARQUIVOS: Final = 128
_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")


def connections_for(mode: str, callers: int) -> int:
    """Connections that so many callers need: one each on HTTP, one altogether on gRPC."""
    return 1 if ARMS[mode].one_connection else callers


def raise_limits(mode: str, callers: int, ports: Path = _PORTS) -> tuple[int, list[str]]:
    """Raise this process's limits for `callers` callers.

    Returns how many connections it may open at once, and a sentence for each limit that is lower
    than needed. The missing callers would wait for a connection: latency made by the generator.
    """
    wanted = connections_for(mode, callers)
    allowed, problems = wanted, []
    files = raise_open_files()
    if files < wanted + OUTROS_ARQUIVOS:
        allowed = max(1, files - OUTROS_ARQUIVOS)
        problems.append(
            f"{wanted} connections need {wanted + OUTROS_ARQUIVOS} open files and this machine"
            f" lets a process have {files}; raise it with ulimit -n"
        )
    free = _local_ports(ports)
    if free is not None and free < wanted:
        allowed = min(allowed, free)
        problems.append(
            f"{wanted} connections to one address need as many local ports and this machine has"
            f" {free}; widen net.ipv4.ip_local_port_range"
        )
    return allowed, problems


def _local_ports(path: Path) -> int | None:
    try:
        low, high = path.read_text().split()
        return int(high) - int(low) + 1
    except (OSError, ValueError):
        return None
