"""State machines as literal tables: (state, event) -> state.

A pair that is not in its table is illegal; trying it raises and changes nothing. The diagrams in
the documentation are drawn from the same tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

Transicoes = Mapping[tuple[str, str], str]

# Where every machine starts: there is no row yet.
AUSENTE: Final = "ausente"


class TransicaoIlegal(Exception):  # noqa: N818 - the domain speaks Portuguese
    """An event that the state does not admit: a defect in the caller, never a business answer."""

    def __init__(self, estado: str, evento: str) -> None:
        super().__init__(f"o evento {evento!r} não é admitido no estado {estado!r}")


def transicionar(tabela: Transicoes, estado: str, evento: str) -> str:
    """The state after `evento`. Raises TransicaoIlegal when the table has no such pair."""
    try:
        return tabela[estado, evento]
    except KeyError:
        raise TransicaoIlegal(estado, evento) from None


def terminais(tabela: Transicoes) -> frozenset[str]:
    """The states that nothing leaves."""
    return frozenset(tabela.values()) - {estado for estado, _ in tabela}


def diagrama(tabela: Transicoes) -> str:
    """The table as a Mermaid state diagram, one line a transition."""
    linhas = ["stateDiagram-v2"]
    for (estado, evento), proximo in tabela.items():
        de = "[*]" if estado == AUSENTE else estado
        linhas.append(f"    {de} --> {proximo}: {evento}")
    linhas += [f"    {estado} --> [*]" for estado in sorted(terminais(tabela))]
    return "\n".join(linhas)
