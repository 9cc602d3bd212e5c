"""Translation between the contract's messages and protobuf, built at import.

A struct and its protobuf message share their name and their field names, so both directions are
derived from the struct's type: towards the wire msgspec takes the struct apart and the protobuf
constructor takes it in; from the wire a small function is compiled for each type, and msgspec
checks every limit that the type states. Nothing is looked up by reflection during a call.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import msgspec
from msgspec import inspect

from common.contratos import OPERACOES, SERVICOS, Mensagem, Operacao
from common.serving.pipeline import repeated
from common.serving.validation import violation
from proto import (
    catalogo_pb2,
    comum_pb2,
    estoque_pb2,
    fiscal_pb2,
    logistica_pb2,
    pagamentos_pb2,
    pedidos_pb2,
)

PACKAGE = "ecommerce.v1"
MODULES: dict[str, Any] = {
    "pedidos": pedidos_pb2,
    "pagamentos": pagamentos_pb2,
    "estoque": estoque_pb2,
    "fiscal": fiscal_pb2,
    "logistica": logistica_pb2,
    "catalogo": catalogo_pb2,
}


class Codec(NamedTuple):
    """How one message type travels."""

    tipo: type[Mensagem]
    serialize: Callable[[Mensagem], bytes]
    parse: Callable[[bytes], Any]
    read: Callable[[Any], Mensagem]


def nome_do_servico(servico: str) -> str:
    """The full gRPC name of a service."""
    return f"{PACKAGE}.{servico.capitalize()}"


def caminho(operacao: Operacao) -> str:
    """The full gRPC method path of an operation."""
    return f"/{nome_do_servico(operacao.servico)}/{operacao.metodo_grpc}"


def protobuf_type(tipo: type[Mensagem]) -> Any:
    """The protobuf class of a message."""
    for modulo in (comum_pb2, *MODULES.values()):
        classe = getattr(modulo, tipo.__name__, None)
        if classe is not None:
            return classe
    msg = f"{tipo.__name__} is in no .proto file"
    raise LookupError(msg)


def _taker(info: inspect.StructType, known: dict[str, Any]) -> str:
    """Compile `message -> dict` for a struct type into `known`; returns its name there."""
    name = f"take_{info.cls.__name__}"
    if name in known:
        return name
    always, when_present = [], []
    for field in info.fields:
        kind: Any = field.type
        nullable = isinstance(kind, inspect.UnionType)
        if nullable:
            (kind,) = (t for t in kind.types if not isinstance(t, inspect.NoneType))
        value = f"pb.{field.name}"
        if isinstance(kind, inspect.VarTupleType):
            assert isinstance(kind.item_type, inspect.StructType)
            value = f"[{_taker(kind.item_type, known)}(item) for item in {value}]"
        elif isinstance(kind, inspect.StructType):
            value = f"{_taker(kind, known)}({value})"
        present = f"pb.HasField({field.name!r})"
        if nullable:
            always.append(f"{field.name!r}: {value} if {present} else None")
        elif isinstance(kind, inspect.StructType) or isinstance(field.default, str):
            # Absent on the wire is absent to msgspec: it applies the default or says what lacks.
            when_present.append(f"**({{{field.name!r}: {value}}} if {present} else {{}})")
        else:
            always.append(f"{field.name!r}: {value}")
    source = f"lambda pb: {{{', '.join(always + when_present)}}}"
    known[name] = eval(source, known)  # noqa: S307 - built from our own types alone
    return name


def _codec(tipo: type[Mensagem], known: dict[str, Any]) -> Codec:
    classe = protobuf_type(tipo)
    info = inspect.type_info(tipo)
    assert isinstance(info, inspect.StructType)
    take = known[_taker(info, known)]
    to_builtins, convert = msgspec.to_builtins, msgspec.convert

    def serialize(message: Mensagem) -> bytes:
        encoded: bytes = classe(**to_builtins(message)).SerializeToString()
        return encoded

    def read(pb: Any) -> Mensagem:
        try:
            return convert(take(pb), tipo)
        except msgspec.ValidationError as error:
            raise violation(error) from None

    return Codec(tipo, serialize, classe.FromString, read)


def read_marks(metadata: Any) -> tuple[Callable[[str], str | None], Collection[str]]:
    """What came beside a message, read by name; and which names came more than once."""
    sent = metadata or ()
    marks: dict[str, str] = dict(sent)
    twice = () if len(marks) == len(sent) else repeated(name for name, _ in sent)
    return marks.get, twice


def _codecs() -> dict[type[Mensagem], Codec]:
    known: dict[str, Any] = {}
    tipos = {tipo for op in OPERACOES for tipo in (op.requisicao, op.resposta)}
    return {tipo: _codec(tipo, known) for tipo in sorted(tipos, key=lambda tipo: tipo.__name__)}


CODECS = _codecs()
assert set(MODULES) == set(SERVICOS)
