"""The part of a table that came with the import."""

from __future__ import annotations

from typing import NamedTuple


class Importada(NamedTuple):
    """What of a table came from the shop: the columns, and which rows, in the order of the first two."""

    tabela: str
    colunas: tuple[str, ...]
    onde: str = "1"

    def consulta(self) -> str:
        """A query of one value a row, as bytes: a shop's texts need not be UTF-8."""
        valores = " || ',' || ".join(f"quote({coluna})" for coluna in self.colunas)
        ordem = ", ".join(self.colunas[:2])
        return (
            f"SELECT CAST({valores} AS BLOB) FROM {self.tabela} "  # noqa: S608 - constants of ours
            f"WHERE {self.onde} ORDER BY {ordem}"
        )
