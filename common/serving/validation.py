"""Turns what msgspec says of a broken message into the project's error, the field named."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from common.erros import Categoria, ErroServico, Violacao

# msgspec's sentences, which are part of its documented behaviour, in the language of our users.
_SENTENCES: Final[tuple[tuple[re.Pattern[str], str], ...]] = tuple(
    (re.compile(padrao, re.DOTALL), frase)
    for padrao, frase in (
        (r"Object missing required field `(?P<campo>[^`]*)`", "falta este campo"),
        (r"Object contains unknown field `(?P<campo>.*)`$", "campo desconhecido"),
        (r"Expected `(?P<a>[^`]*)`, got `(?P<b>[^`]*)`", "esperado {a}, recebido {b}"),
        (r"Expected `(?P<a>[^`]*)` of length (?P<b>.*)", "esperado {a} de tamanho {b}"),
        (r"Expected `(?P<a>[^`]*)` (?P<b>[<>]=? .*)", "esperado {a} {b}"),
        (r"Expected `(?P<a>[^`]*)` matching regex (?P<b>.*)", "fora do formato {b}"),
        (r"Invalid enum value (?P<a>.*)", "valor não admitido: {a}"),
        (r"(Integer value|Number) out of range", "número fora da faixa"),
    )
)
_PLACE: Final = re.compile(r" - at `(?:key in )?\$\.?(?P<campo>.*)`$", re.DOTALL)
# Characters of an offending name, and of what is said of it, that are repeated to the caller: an
# echo of all that was sent would not fit a gRPC status (8 KiB of metadata).
FIELD_MAX: Final = 80
_DETAIL_MAX: Final = 200


def violation(error: msgspec.ValidationError) -> ErroServico:
    """The error for a message that breaks a rule: the path of its field, and the rule."""
    texto = str(error)
    campo = ""
    if lugar := _PLACE.search(texto):
        campo, texto = lugar["campo"], texto[: lugar.start()]
    detalhe = texto
    for padrao, frase in _SENTENCES:
        if achado := padrao.match(texto):
            partes = achado.groupdict()
            if "campo" in partes:
                campo = f"{campo}.{partes['campo']}" if campo else partes["campo"]
            detalhe = frase.format(**partes)
            break
    campo, detalhe = campo[:FIELD_MAX] or "corpo", detalhe[:_DETAIL_MAX]
    return ErroServico(
        Categoria.INVALIDO, f"{campo}: {detalhe}", violacoes=(Violacao(campo, detalhe),)
    )


def malformed(error: msgspec.DecodeError | UnicodeDecodeError) -> ErroServico:
    """The error for a body that is not JSON at all."""
    return ErroServico(
        Categoria.INVALIDO,
        "o corpo não é JSON válido",
        violacoes=(Violacao("corpo", f"JSON inválido: {error}"),),
    )
