"""Translation between the contract's messages and JSON, built at import.

msgspec reads and writes the structs directly and checks every limit that their types state. In
REST some fields of a request travel in the path or in the query, and a list travels bare.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from common.contratos import OPERACOES, Mensagem, Operacao
from common.erros import invalido
from common.serving.validation import FIELD_MAX, malformed, violation

# Digits of the largest id; a longer number is refused before it is parsed.
_DIGITOS_MAX: Final = 19
_PARTE_DE_CAMINHO: Final = re.compile(r"\{(\w+)\}")

_encode = msgspec.json.Encoder().encode


class Codec(NamedTuple):
    """How one operation travels: fields by place, and the four directions of translation."""

    no_caminho: tuple[str, ...]
    no_corpo: tuple[str, ...]
    na_consulta: tuple[str, ...]
    corpo_obrigatorio: bool
    read: Callable[[Mapping[str, str], Mapping[str, Any], bytes], Mensagem]
    write: Callable[[Mensagem], bytes]
    path: Callable[[Mensagem], str]
    body: Callable[[Mensagem], bytes | None]
    answer: Callable[[bytes], Mensagem]


def campos_do_caminho(operacao: Operacao) -> tuple[str, ...]:
    """The fields of the request that the path names."""
    return tuple(_PARTE_DE_CAMINHO.findall(operacao.caminho))


def _numero(campo: str, texto: str) -> int:
    """An id in a path or a query; every such field of the contract is a number."""
    if not (texto.isascii() and texto.isdecimal() and len(texto) <= _DIGITOS_MAX):
        raise invalido(campo, "deve ser um número inteiro, escrito só com algarismos")
    return int(texto)


def _direct(tipo: type[Mensagem]) -> Callable[..., Mensagem]:
    """Reads a request that is its body and nothing else."""
    decode = msgspec.json.Decoder(tipo).decode

    def read(path: Mapping[str, str], query: Mapping[str, Any], body: bytes) -> Mensagem:
        try:
            return decode(body)
        except msgspec.ValidationError as error:
            raise violation(error) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise malformed(error) from None

    return read


def _gathered(operacao: Operacao) -> Callable[..., Mensagem]:
    """Reads a request whose fields stand in the path, and in the query or in the body."""
    tipo, no_caminho = operacao.requisicao, campos_do_caminho(operacao)
    outros = [campo for campo in msgspec.structs.fields(tipo) if campo.name not in no_caminho]
    post = operacao.metodo_http == "POST"
    na_consulta = frozenset(() if post else (campo.name for campo in outros))
    corpo = msgspec.defstruct(
        f"Corpo{tipo.__name__}",
        [(campo.name, campo.type, campo.default) for campo in outros],
        forbid_unknown_fields=True,
    )
    decode = msgspec.json.Decoder(corpo).decode

    def read(path: Mapping[str, str], query: Mapping[str, Any], body: bytes) -> Mensagem:
        try:
            values = msgspec.structs.asdict(decode(body)) if body else {}
            for campo, texto in query.items():
                if campo not in na_consulta:
                    raise invalido(campo[:FIELD_MAX] or "consulta", "parâmetro desconhecido")
                values[campo] = _numero(campo, texto)
            for campo in no_caminho:
                values[campo] = _numero(campo, path[campo])
            return msgspec.convert(values, tipo)
        except msgspec.ValidationError as error:
            raise violation(error) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise malformed(error) from None

    return read


def _codec(operacao: Operacao) -> Codec:
    fields = msgspec.structs.fields(operacao.requisicao)
    no_caminho = campos_do_caminho(operacao)
    outros = tuple(field.name for field in fields if field.name not in no_caminho)
    post = operacao.metodo_http == "POST"
    lista, resposta = operacao.lista, operacao.resposta
    decode = msgspec.json.Decoder(resposta).decode

    def write(message: Mensagem) -> bytes:
        return _encode(message if lista is None else getattr(message, lista))

    def path(message: Mensagem) -> str:
        place = operacao.caminho.format_map({nome: getattr(message, nome) for nome in no_caminho})
        if post or not outros:
            return place
        return f"{place}?{'&'.join(f'{nome}={getattr(message, nome)}' for nome in outros)}"

    def body(message: Mensagem) -> bytes | None:
        if not post or not outros:
            return None
        if not no_caminho:
            return _encode(message)
        return _encode({nome: getattr(message, nome) for nome in outros})

    def answer(data: bytes) -> Mensagem:
        return decode(data) if lista is None else decode(b'{"%s":%s}' % (lista.encode(), data))

    return Codec(
        no_caminho=no_caminho,
        no_corpo=outros if post else (),
        na_consulta=() if post else outros,
        corpo_obrigatorio=post and any(f.required for f in fields if f.name in outros),
        read=_direct(operacao.requisicao) if post and not no_caminho else _gathered(operacao),
        write=write,
        path=path,
        body=body,
        answer=answer,
    )


CODECS: Final[dict[str, Codec]] = {operacao.nome: _codec(operacao) for operacao in OPERACOES}
