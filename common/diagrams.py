"""Draws the state diagrams of ARCHITECTURE.md and the rooms: `python -m common.diagrams [--check]`.

Each diagram stands between two comments, `<!-- diagram: NAME -->` and `<!-- /diagram -->`. What is
between them comes from a service's transition table and from nowhere else, so that the page cannot
tell another story than the code.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from common import ROOT, house
from common.house import PICTURE
from common.servicos import estoque, fiscal, logistica
from common.servicos.pagamentos import gateway, pagamentos
from common.servicos.pedidos import livro
from common.servicos.protocolo.transicoes import Transicoes, diagrama

PAGE: Final = ROOT / "ARCHITECTURE.md"

# Every state machine of the shop, in the order of the chain; the gateway is the outside world.
TABLES: Final[Mapping[str, Transicoes]] = {
    "pedidos": livro.TRANSICOES,
    "pagamentos": pagamentos.TRANSICOES,
    "estoque": estoque.TRANSICOES,
    "fiscal": fiscal.TRANSICOES,
    "logistica": logistica.TRANSICOES,
    "gateway": gateway.TRANSICOES,
}

_BLOCK: Final = re.compile(
    r"(?P<begin><!-- diagram: (?P<name>\w+) -->\n).*?(?P<end><!-- /diagram -->)", re.DOTALL
)


class PageError(ValueError):
    """The page's marked blocks are not those of the tables; the message is one sentence."""


def draw(page: str, tables: Mapping[str, Transicoes] = TABLES) -> str:
    """The page with every marked block drawn anew from its table.

    Raises PageError when a table has no block, has two, or a block names no table.
    """
    names = [block["name"] for block in _BLOCK.finditer(page)]
    if sorted(names) != sorted(tables):
        msg = f"expected one block for each of {', '.join(tables)}, found {', '.join(names)}"
        raise PageError(msg)
    return _BLOCK.sub(
        lambda block: (
            f"{block['begin']}```mermaid\n{diagrama(tables[block['name']])}\n```\n{block['end']}"
        ),
        page,
    )


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def main(argv: Sequence[str] | None = None) -> int:
    """Draw in place, or with --check compare; the exit code: 1 when something is out of date."""
    parser = argparse.ArgumentParser(prog="python -m common.diagrams", description=main.__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, only compare")
    args = parser.parse_args(argv)
    try:
        wanted = {PAGE: draw(PAGE.read_text(encoding="utf-8")), PICTURE: house.draw()}
        stale = {path: text for path, text in wanted.items() if _read(path) != text}
    except (OSError, PageError) as error:
        print(f"diagrams: {PAGE.name}: {error}", file=sys.stderr)
        return 1
    if args.check and stale:
        names = " and ".join(path.name for path in stale)
        print(f"out of date: {names}; run python -m common.diagrams", file=sys.stderr)
        return 1
    for path, text in stale.items():
        path.write_text(text, encoding="utf-8")
        print(f"{path.name}: drawn anew")
    if not stale:
        print(f"{PAGE.name} and {PICTURE.name}: up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
