"""What REST answers are, whatever serves them: statuses, headers, and problems (RFC 9457)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from common.contratos import Mensagem, Operacao, PedidoResponse
from common.erros import PROBLEM_TITLE, STATUS_HTTP, Categoria, ErroServico, Violacao
from common.servicos.pedidos.livro import TERMINAIS
from common.servicos.protocolo.contexto import Contexto
from common.serving.pipeline import HEADER_KEY, HEADER_TIMING, ended

JSON: Final = "application/json"
PROBLEM_TYPE: Final = "application/problem+json"

# The first category of a status: what a service of ours means by it when the body does not say.
_CATEGORY: Final = {status: categoria for categoria, status in reversed(STATUS_HTTP.items())}


class Problema(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of every error answer; `categoria` tells apart what shares a status."""

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


def answer(operacao: Operacao, message: Mensagem, body: bytes, headers: dict[str, str]) -> Answer:
    """A message as the answer to its request: 202 while the work goes on.

    At its end 201 for an order, 200 for a cancelling; both say where to look it up.
    """
    status = 200
    if isinstance(message, PedidoResponse) and operacao.metodo_http == "POST":
        headers["Location"] = f"/pedidos/{message.pedido_id}"
        if message.status not in TERMINAIS:
            status = 202
        elif operacao.classe == "pedido":
            status = 201
    return Answer(status, body, JSON, headers)


def problem(erro: ErroServico, headers: Mapping[str, str] | None = None) -> Answer:
    """An error as the answer to its request."""
    problema = Problema(
        type=f"urn:ecommerce:problema:{erro.categoria.value}",
        title=PROBLEM_TITLE[erro.categoria],
        status=STATUS_HTTP[erro.categoria],
        categoria=erro.categoria,
        detail=erro.detalhe,
        erros=erro.violacoes,
    )
    sent = dict(headers or {})
    if erro.repetir_apos_s is not None:
        sent["Retry-After"] = str(max(1, math.ceil(erro.repetir_apos_s)))
    return Answer(problema.status, _encode(problema), PROBLEM_TYPE, sent)


def marks_back(
    servico: str, ctx: Contexto, start: float, erro: ErroServico | None = None
) -> dict[str, str]:
    """What travels back beside an answer: the timing record, and the key."""
    headers = {HEADER_TIMING: ended(servico, ctx, start, erro)}
    chave = ctx.chave
    broken = erro is not None and erro.categoria is Categoria.INVALIDO
    if chave is not None and not broken and chave.isascii() and chave.isprintable():
        # Refused before the service looked at it, a key may hold what no header may.
        headers[HEADER_KEY] = chave
    return headers


def erro_de(status: int, corpo: bytes, repetir_apos: str | None) -> ErroServico:
    """What an error answer means to the domain; a foreign one leaves the outcome unknown."""
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
