"""What a client's history may tell that the files do not bear out, and what must turn red for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

Linhas = list[dict[str, Any]]


def linhas_de(linhas: Linhas, pedido_id: int, tipo: str = "ok") -> Linhas:
    """What the history says of an order."""
    return [x for x in linhas if x.get("pedido_id") == pedido_id and x["type"] == tipo]


def trocar(linhas: Linhas, velha: dict[str, Any], **novo: Any) -> None:
    """Have a line say something else."""
    linhas[linhas.index(velha)] = {**velha, **novo}


def acrescentar(linhas: Linhas, *, asked: int | None = None, **final: Any) -> None:
    """A call at the end of the history, of the order `asked`, and what came of it."""
    instante = linhas[-1]["time_ns"]
    comum = {k: final[k] for k in ("op", "key") if k in final} | {"process": 9}
    pedido = {"request": final.pop("request")} if "request" in final else {}
    pedido |= {} if asked is None else {"pedido_id": asked}
    linhas.append({"type": "invoke", **comum, **pedido, "time_ns": instante + 1})
    linhas.append({**comum, **final, "time_ns": instante + 2})


def aberta(ok: dict[str, Any], **novo: Any) -> dict[str, Any]:
    """An answer as it was while its order was under way."""
    nada = dict.fromkeys(("motivo", "pagamento", "nota_fiscal", "envio"))
    return {**ok["answer"], "status": "pendente", **nada, **novo}


def _pedido_sumido(linhas: Linhas, pedido_id: int) -> int:
    ok = linhas_de(linhas, pedido_id)[0]
    resposta = {**ok["answer"], "pedido_id": 777_777}
    acrescentar(linhas, type="ok", op="consultar_pedido", key="fantasma", answer=resposta)
    return 777_777


def _resposta_diferente(linhas: Linhas, pedido_id: int) -> int:
    for ok in linhas_de(linhas, pedido_id):
        trocar(linhas, ok, answer={**ok["answer"], "valor_total_centavos": 1})
    return pedido_id


def _duas_respostas(linhas: Linhas, pedido_id: int) -> int:
    ok = linhas_de(linhas, pedido_id)[0]
    trocar(linhas, ok, answer={**ok["answer"], "envio": None})
    return pedido_id


def _dois_pedidos(linhas: Linhas, pedido_id: int) -> int:
    ok = linhas_de(linhas, pedido_id)[0]
    outra = next(x for x in linhas if x["type"] == "ok" and x["key"] != ok["key"])
    acrescentar(linhas, type="ok", op="consultar_pedido", key=outra["key"], answer=ok["answer"])
    return pedido_id


def _falha_com_pedido(linhas: Linhas, pedido_id: int) -> int:
    ok = next(x for x in linhas_de(linhas, pedido_id) if x["op"] == "criar_pedido")
    falha = {k: ok[k] for k in ("op", "key", "process", "time_ns")}
    linhas[linhas.index(ok)] = {**falha, "type": "fail", "error": {"kind": "sobrecarga"}}
    return pedido_id


def _outro_corpo(linhas: Linhas, pedido_id: int) -> int:
    ok = linhas_de(linhas, pedido_id)[0]
    invoke = next(x for x in linhas if x["key"] == ok["key"] and "request" in x)
    trocar(linhas, invoke, request={**invoke["request"], "cliente_id": 2})
    return pedido_id


def _chave_reusada(linhas: Linhas, pedido_id: int) -> int:
    ok = linhas_de(linhas, pedido_id)[0]
    invoke = next(x for x in linhas if x["key"] == ok["key"] and "request" in x)
    corpo = {**invoke["request"], "metodo_pagamento": "boleto"}
    acrescentar(
        linhas, type="ok", op="criar_pedido", key=ok["key"], request=corpo, answer=ok["answer"]
    )
    return pedido_id


def _volta_atras(linhas: Linhas, pedido_id: int) -> int:
    ok = linhas_de(linhas, pedido_id)[0]
    acrescentar(linhas, type="ok", op="consultar_pedido", key=ok["key"], answer=aberta(ok))
    return pedido_id


def _nao_encontrado(linhas: Linhas, pedido_id: int) -> int:
    erro = {"kind": "nao_encontrado", "detail": "não existe"}
    acrescentar(
        linhas, type="fail", op="consultar_pedido", key="k", pedido_id=pedido_id, error=erro
    )
    return pedido_id


def _inesperado(linhas: Linhas, pedido_id: int) -> int:
    chave = linhas_de(linhas, pedido_id)[0]["key"]
    linhas[:] = [x for x in linhas if x["key"] != chave]
    return pedido_id


class Mentira(NamedTuple):
    """One kind of lie.

    `contar` tells it of a shipped order in the lines and returns the order that must be named;
    `vermelhas` are the checks that must turn red, and no other.
    """

    nome: str
    contar: Callable[[Linhas, int], int]
    vermelhas: str


DAS_PROMESSAS: Final = (
    Mentira("pedido sumido", _pedido_sumido, "history-lost"),
    Mentira("resposta diferente", _resposta_diferente, "history-answers"),
    Mentira("duas respostas", _duas_respostas, "history-answers history-keys"),
    Mentira("dois pedidos de uma chave", _dois_pedidos, "history-keys history-lost"),
    Mentira("falha com pedido", _falha_com_pedido, "history-refused"),
    Mentira("outro corpo", _outro_corpo, "history-requests"),
    Mentira("chave reusada", _chave_reusada, "history-requests"),
    Mentira("leitura que volta atras", _volta_atras, "history-reads"),
    Mentira("leitura que nao encontra", _nao_encontrado, "history-reads"),
    Mentira("pedido inesperado", _inesperado, "history-unexpected"),
)
