from proto import comum_pb2 as _comum_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SepararEstoqueRequest(_message.Message):
    __slots__ = ("pedido_id", "cliente_id", "valor_total_centavos", "itens")
    PEDIDO_ID_FIELD_NUMBER: _ClassVar[int]
    CLIENTE_ID_FIELD_NUMBER: _ClassVar[int]
    VALOR_TOTAL_CENTAVOS_FIELD_NUMBER: _ClassVar[int]
    ITENS_FIELD_NUMBER: _ClassVar[int]
    pedido_id: int
    cliente_id: int
    valor_total_centavos: int
    itens: _containers.RepeatedCompositeFieldContainer[_comum_pb2.ItemPedido]
    def __init__(self, pedido_id: _Optional[int] = ..., cliente_id: _Optional[int] = ..., valor_total_centavos: _Optional[int] = ..., itens: _Optional[_Iterable[_Union[_comum_pb2.ItemPedido, _Mapping]]] = ...) -> None: ...

class SeparacaoResponse(_message.Message):
    __slots__ = ("pedido_id", "status", "motivo", "itens")
    PEDIDO_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    MOTIVO_FIELD_NUMBER: _ClassVar[int]
    ITENS_FIELD_NUMBER: _ClassVar[int]
    pedido_id: int
    status: str
    motivo: str
    itens: _containers.RepeatedCompositeFieldContainer[_comum_pb2.ItemPedido]
    def __init__(self, pedido_id: _Optional[int] = ..., status: _Optional[str] = ..., motivo: _Optional[str] = ..., itens: _Optional[_Iterable[_Union[_comum_pb2.ItemPedido, _Mapping]]] = ...) -> None: ...

class ConsultarEstoqueRequest(_message.Message):
    __slots__ = ("produto_id",)
    PRODUTO_ID_FIELD_NUMBER: _ClassVar[int]
    produto_id: int
    def __init__(self, produto_id: _Optional[int] = ...) -> None: ...

class SaldoEstoque(_message.Message):
    __slots__ = ("produto_id", "quantidade")
    PRODUTO_ID_FIELD_NUMBER: _ClassVar[int]
    QUANTIDADE_FIELD_NUMBER: _ClassVar[int]
    produto_id: int
    quantidade: int
    def __init__(self, produto_id: _Optional[int] = ..., quantidade: _Optional[int] = ...) -> None: ...

class ListarEstoqueRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListaEstoqueResponse(_message.Message):
    __slots__ = ("saldos",)
    SALDOS_FIELD_NUMBER: _ClassVar[int]
    saldos: _containers.RepeatedCompositeFieldContainer[SaldoEstoque]
    def __init__(self, saldos: _Optional[_Iterable[_Union[SaldoEstoque, _Mapping]]] = ...) -> None: ...
