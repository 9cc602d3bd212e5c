"""REST answers, the same from every server: statuses, headers, and problems (RFC 9457)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from common.contratos import TERMINAIS, Mensagem, Operacao, PedidoResponse
from common.erros import PROBLEM_TITLE, STATUS_HTTP, Categoria, ErroServico, Violacao

JSON: Final = "application/json"
PROBLEM_TYPE: Final = "application/problem+json"

# The first category of a status: what a service of ours means by it when the body does not say.
_CATEGORY: Final = {status: categoria for categoria, status in reversed(STATUS_HTTP.items())}


class Problema(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of every error answer; `categoria` separates those that share a status."""

    type: str
    title: str
    status: int
    categoria: Categoria
    detail: str
    erros: tuple[Violacao, ...] = ()


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Problema).decode


class Answer(NamedTuple):
    """An answer to be sent."""

    status: int
    body: bytes
    content_type: str
    headers: dict[str, str]


def answer(
    operacao: Operacao, message: Mensagem, body: bytes, back: Iterable[tuple[str, str]]
) -> Answer:
    """A message as the answer to its request, with headers `back`: 202 while the work goes on.

    At its end 201 for an order, 200 for a cancelling; both say where to look it up.
    """
    status, headers = 200, dict(back)
    if isinstance(message, PedidoResponse) and operacao.metodo_http == "POST":
        headers["Location"] = f"/pedidos/{message.pedido_id}"
        if message.status not in TERMINAIS:
            status = 202
        elif operacao.classe == "pedido":
            status = 201
    return Answer(status, body, JSON, headers)


def problem(erro: ErroServico, back: Iterable[tuple[str, str]] = ()) -> Answer:
    """An error as the answer to its request, with headers `back`."""
    problema = Problema(
        type=f"urn:ecommerce:problema:{erro.categoria.value}",
        title=PROBLEM_TITLE[erro.categoria],
        status=STATUS_HTTP[erro.categoria],
        categoria=erro.categoria,
        detail=erro.detalhe,
        erros=erro.violacoes,
    )
    sent = dict(back)
    if erro.repetir_apos_s is not None:
        sent["Retry-After"] = str(max(1, math.ceil(erro.repetir_apos_s)))
    return Answer(problema.status, _encode(problema), PROBLEM_TYPE, sent)


def erro_de(status: int, corpo: bytes, repetir_apos: str | None) -> ErroServico:
    """The domain's error for an error answer; a foreign one leaves the outcome unknown."""
    espera = float(repetir_apos) if repetir_apos and repetir_apos.isdecimal() else None
    try:
        problema = _decode(corpo)
    except msgspec.DecodeError:
        # From 500 on it says nothing of what happened: unknown.
        ours = status < STATUS_HTTP[Categoria.INTERNO]
        categoria = _CATEGORY.get(status, Categoria.INVALIDO) if ours else Categoria.INDISPONIVEL
        return ErroServico(categoria, f"HTTP {status}", repetir_apos_s=espera)
    return ErroServico(
        problema.categoria, problema.detail, violacoes=problema.erros, repetir_apos_s=espera
    )
