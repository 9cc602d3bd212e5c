"""How an order ended, as its caller saw it. Total over every answer and every category of error."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from common import contratos as c
from common.erros import Categoria

Kind = Literal["enviado", "cancelado", "pendente", "recusado", "erro"]

# Categories that say for sure that the request had no effect; all others leave it unknown.
SEM_EFEITO: Final = frozenset(
    {
        Categoria.INVALIDO,
        Categoria.NAO_ENCONTRADO,
        Categoria.CONFLITO,
        Categoria.PRECONDICAO,
        Categoria.SOBRECARGA,
        Categoria.PROIBIDO,
        Categoria.HOST,
        Categoria.METODO,
        Categoria.SIZE,
        Categoria.MEDIA_TYPE,
    }
)
# What the generator calls an exception that no client should raise.
DEFEITO: Final = "defeito"
INTERRUPTED_WORDS: Final = "interrompido"


class Outcome(NamedTuple):
    """`label` is the motivo of a cancelado, the category of a recusado or an erro, else empty."""

    kind: Kind
    label: str = ""
    detail: str = ""

    @property
    def completed(self) -> bool:
        """True when the caller holds a terminal answer."""
        return self.kind in {"enviado", "cancelado"}

    @property
    def timed_out(self) -> bool:
        """True when the deadline came before the end was known."""
        return self.kind == "pendente" or (
            self.kind == "erro" and self.label == Categoria.PRAZO.value
        )


SENT: Final = Outcome("enviado")
PENDING: Final = Outcome("pendente", detail="not terminal by its deadline")


def of_answer(answer: c.PedidoResponse) -> Outcome:
    """The outcome that an answer stands for."""
    if answer.status == "cancelado":
        return Outcome("cancelado", answer.motivo or "sem_motivo")
    return SENT if answer.status in c.TERMINAIS else PENDING


def of_error(category: Categoria, detail: str) -> Outcome:
    """The outcome of an order whose creation failed: refused without effect, or unknown."""
    return Outcome("recusado" if category in SEM_EFEITO else "erro", category.value, detail)
