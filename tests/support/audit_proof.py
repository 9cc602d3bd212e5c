"""All that the auditor is shown to catch: which damage and which lies turn which rule red."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from common.audit import audit
from tests.support.audit_corruptions import DOS_PEDIDOS
from tests.support.audit_corruptions_books import DOS_LIVROS
from tests.support.audit_corruptions_facts import DOS_FATOS
from tests.support.audit_lies import DAS_PROMESSAS
from tests.support.audit_lies_answers import DAS_RESPOSTAS
from tests.support.audit_support import escrever_historia

CORRUPCOES: Final = (*DOS_PEDIDOS, *DOS_LIVROS, *DOS_FATOS)
MENTIRAS: Final = (*DAS_PROMESSAS, *DAS_RESPOSTAS)

# Tells of every row that is gone, so it turns red beside the rule that misses what the row said.
COM_OUTRAS: Final = "row-numbers"
# Rules that look across what others have looked at one by one, so that nothing turns them red
# alone: sums over all orders whose parts are each compared, and two answers of which one cannot be
# what is stored.
NUNCA_SOZINHAS: Final = {"money-sums", "history-keys"}


def regras(data_dir: Path) -> dict[str, tuple[int, ...]]:
    """Every rule that the auditor judges, with the invariants it serves, as its report names them."""
    historia = escrever_historia(data_dir.with_name("vazia.jsonl"), [])
    relatorio = audit(data_dir, history=historia, settled=True, complete=True)
    return {check.id: check.invariants for check in relatorio.checks}


def provas() -> dict[str, list[str]]:
    """For each rule the names of what turns it red, what does so alone first."""
    por_regra: dict[str, list[str]] = {}
    for cada in sorted((*CORRUPCOES, *MENTIRAS), key=lambda um: len(um.vermelhas.split())):
        for regra in cada.vermelhas.split():
            por_regra.setdefault(regra, []).append(cada.nome)
    return por_regra


def provadas_sozinhas() -> set[str]:
    """The rules that something turns red, and no other with them but the one of missing rows."""
    sozinhas = set()
    for cada in (*CORRUPCOES, *MENTIRAS):
        regras_suas = cada.vermelhas.split()
        outras = [regra for regra in regras_suas if regra != COM_OUTRAS]
        if len(outras or regras_suas) == 1:
            sozinhas |= set(outras or regras_suas)
    return sozinhas
