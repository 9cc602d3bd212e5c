"""What a history may say wrongly of refusals, of open answers, of its questions, and of itself."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from tests.support.audit_lies import Linhas, Mentira, aberta, acrescentar, linhas_de, trocar


def _criado(linhas: Linhas, pedido_id: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The call that made an order, and its answer."""
    ok = next(x for x in linhas_de(linhas, pedido_id) if x["op"] == "criar_pedido")
    return next(x for x in linhas if x["key"] == ok["key"] and "request" in x), ok


def _cancelado(linhas: Linhas) -> int:
    """An order that was answered as open, and was then cancelled as its customer asked."""
    cancelamentos = [x for x in linhas if x["op"] == "cancelar_pedido" and x["type"] == "ok"]
    return next(x["pedido_id"] for x in cancelamentos if x["answer"]["status"] == "cancelado")


def _recusado(linhas: Linhas, pedido_id: int, *, kind: str, op: str = "criar_pedido") -> int:
    """The same call once more, refused."""
    invoke, ok = _criado(linhas, pedido_id)
    corpo = {"request": invoke["request"]} if op == "criar_pedido" else {"asked": pedido_id}
    acrescentar(linhas, type="fail", op=op, key=ok["key"], error={"kind": kind}, **corpo)
    return pedido_id


def _cancelado_ja_enviado(linhas: Linhas, _: int) -> int:
    return _recusado(linhas, _cancelado(linhas), kind="precondicao", op="cancelar_pedido")


def _falha_e_depois_sucesso(linhas: Linhas, pedido_id: int) -> int:
    invoke, ok = _criado(linhas, pedido_id)
    falha = {k: ok[k] for k in ("op", "key", "process", "time_ns")}
    linhas[linhas.index(ok)] = {**falha, "type": "fail", "error": {"kind": "sobrecarga"}}
    acrescentar(
        linhas, type="ok", op="criar_pedido", key=ok["key"], request=invoke["request"],
        answer=ok["answer"],
    )  # fmt: skip
    return pedido_id


def _aberta_diferente(linhas: Linhas, _: int, **novo: Any) -> int:
    pedido_id = _cancelado(linhas)
    _, ok = _criado(linhas, pedido_id)
    trocar(linhas, ok, answer=aberta(ok, **novo))
    return pedido_id


def _outro_pedido(linhas: Linhas, pedido_id: int) -> int:
    _, ok = _criado(linhas, pedido_id)
    acrescentar(
        linhas, type="ok", op="consultar_pedido", key=ok["key"], asked=pedido_id + 1,
        answer=ok["answer"],
    )  # fmt: skip
    return pedido_id


def _linha_de_outro_pedido(linhas: Linhas, pedido_id: int) -> int:
    _, ok = _criado(linhas, pedido_id)
    trocar(linhas, ok, pedido_id=pedido_id + 1)
    return pedido_id


def _cancelamento_enviado(linhas: Linhas, pedido_id: int) -> int:
    _, ok = _criado(linhas, pedido_id)
    acrescentar(
        linhas, type="ok", op="cancelar_pedido", key=ok["key"], asked=pedido_id,
        answer=ok["answer"],
    )  # fmt: skip
    return pedido_id


def _solicitado_por_ninguem(linhas: Linhas, _: int) -> int:
    pedido_id = _cancelado(linhas)
    _, ok = _criado(linhas, pedido_id)
    linhas[:] = [x for x in linhas if (x["op"], x["key"]) != ("cancelar_pedido", ok["key"])]
    return pedido_id


def _solicitado_em_vao(linhas: Linhas, _: int) -> int:
    pedido_id = _cancelado(linhas)
    ok = next(x for x in linhas_de(linhas, pedido_id) if x["op"] == "cancelar_pedido")
    falha = {k: ok[k] for k in ("op", "key", "process", "time_ns")}
    linhas[linhas.index(ok)] = {**falha, "type": "fail", "error": {"kind": "sobrecarga"}}
    return pedido_id


def _desfecho_sem_chamada(linhas: Linhas, pedido_id: int) -> int:
    consulta = next(x for x in linhas_de(linhas, pedido_id) if x["op"] == "consultar_pedido")
    del linhas[linhas.index(consulta) - 1]
    return pedido_id


def _desfecho_de_outra_chamada(linhas: Linhas, pedido_id: int) -> int:
    consulta = next(x for x in linhas_de(linhas, pedido_id) if x["op"] == "consultar_pedido")
    chamada = linhas[linhas.index(consulta) - 1]
    trocar(linhas, chamada, key="outra")
    return pedido_id


def _tempo_que_volta(linhas: Linhas, pedido_id: int) -> int:
    consulta = next(x for x in linhas_de(linhas, pedido_id) if x["op"] == "consultar_pedido")
    antes = linhas[linhas.index(consulta) - 1]["time_ns"]
    trocar(linhas, consulta, time_ns=antes - 1)
    return pedido_id


def _duas_de_uma_vez(linhas: Linhas, pedido_id: int) -> int:
    _, ok = _criado(linhas, pedido_id)
    chamada = {"type": "invoke", "op": "consultar_pedido", "key": ok["key"], "process": 9}
    for mais in (1, 2):
        linhas.append({**chamada, "pedido_id": pedido_id, "time_ns": ok["time_ns"] + mais})
    return pedido_id


_ENVIO: Final = {"codigo_rastreamento": "BR000000001PY", "status": "enviado"}

DAS_RESPOSTAS: Final = (
    Mentira("conflito do mesmo corpo", partial(_recusado, kind="conflito"), "history-refusals"),
    Mentira("corpo aceito e invalido", partial(_recusado, kind="invalido"), "history-refusals"),
    Mentira("pedido novo ja enviado", partial(_recusado, kind="precondicao"), "history-refusals"),
    Mentira(
        "pedido novo nao encontrado", partial(_recusado, kind="nao_encontrado"), "history-refusals"
    ),
    Mentira(
        "cancelamento em conflito",
        partial(_recusado, kind="conflito", op="cancelar_pedido"),
        "history-refusals",
    ),
    Mentira(
        "cancelamento invalido",
        partial(_recusado, kind="invalido", op="cancelar_pedido"),
        "history-refusals",
    ),
    Mentira(
        "consulta recusada",
        partial(_recusado, kind="precondicao", op="consultar_pedido"),
        "history-refusals",
    ),
    Mentira("cancelado e ja enviado", _cancelado_ja_enviado, "history-refusals"),
    Mentira(
        "cancelamento que nao encontra",
        partial(_recusado, kind="nao_encontrado", op="cancelar_pedido"),
        "history-reads",
    ),
    Mentira("falha e depois sucesso", _falha_e_depois_sucesso, "history-refused"),
    Mentira("envio numa aberta", partial(_aberta_diferente, envio=_ENVIO), "history-open"),
    Mentira(
        "outro total numa aberta",
        partial(_aberta_diferente, valor_total_centavos=1),
        "history-open",
    ),
    Mentira("motivo numa aberta", partial(_aberta_diferente, motivo="solicitado"), "history-open"),
    Mentira(
        "cancelando por outro motivo",
        partial(_aberta_diferente, status="cancelando", motivo="expirado"),
        "history-open",
    ),
    Mentira(
        "situacao que ninguem responde",
        partial(_aberta_diferente, status="nf_emitida"),
        "history-open",
    ),
    Mentira("consulta de outro pedido", _outro_pedido, "history-questions"),
    Mentira("linha de outro pedido", _linha_de_outro_pedido, "history-questions"),
    Mentira("cancelamento que responde enviado", _cancelamento_enviado, "history-questions"),
    Mentira("solicitado por ninguem", _solicitado_por_ninguem, "history-unasked"),
    Mentira("solicitado em vao", _solicitado_em_vao, "history-unasked"),
    Mentira("desfecho sem chamada", _desfecho_sem_chamada, "history-form"),
    Mentira("desfecho de outra chamada", _desfecho_de_outra_chamada, "history-form"),
    Mentira("tempo que volta", _tempo_que_volta, "history-form"),
    Mentira("duas de uma vez", _duas_de_uma_vez, "history-form"),
)
