"""An arm with its panel, as a user starts it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.support.lancamento import comando, ler_ate, processo

CHAIN: Final = ("pedidos", "pagamentos", "estoque", "fiscal", "logistica")
# What a product is called whose maker means harm: as text it is harmless.
MARKUP: Final = '<img src=x onerror="document.title=1">'
# Options of a shop in which every order is paid, and soon.
SOON_PAID: Final = ("--payment-latency=0.05", "--payment-approval=1")


@contextmanager
def shown(shop: Path, data_dir: Path, arm: str = "http", *more: str) -> Iterator[str]:
    """All six services and the panel, ready; yields the address that it prints."""
    command = comando(arm, data_dir, "--panel", "--panel-port=0", *more)
    with processo(sys.executable, "run_all.py", *map(str, command), f"--shop={shop}") as running:
        told = ler_ate(running, "panel: http")
        found = re.search(r"panel: (http\S+)", told)
        assert found is not None
        if "ready:" not in told:
            ler_ate(running, "ready:")
        yield found[1]
        running.terminate()
        running.wait(15)
