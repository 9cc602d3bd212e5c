from proto import comum_pb2 as _comum_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ProcessarPagamentoRequest(_message.Message):
    __slots__ = ("pedido_id", "cliente_id", "valor_total_centavos", "metodo_pagamento", "itens")
    PEDIDO_ID_FIELD_NUMBER: _ClassVar[int]
    CLIENTE_ID_FIELD_NUMBER: _ClassVar[int]
    VALOR_TOTAL_CENTAVOS_FIELD_NUMBER: _ClassVar[int]
    METODO_PAGAMENTO_FIELD_NUMBER: _ClassVar[int]
    ITENS_FIELD_NUMBER: _ClassVar[int]
    pedido_id: int
    cliente_id: int
    valor_total_centavos: int
    metodo_pagamento: str
    itens: _containers.RepeatedCompositeFieldContainer[_comum_pb2.ItemPedido]
    def __init__(self, pedido_id: _Optional[int] = ..., cliente_id: _Optional[int] = ..., valor_total_centavos: _Optional[int] = ..., metodo_pagamento: _Optional[str] = ..., itens: _Optional[_Iterable[_Union[_comum_pb2.ItemPedido, _Mapping]]] = ...) -> None: ...

class PagamentoResponse(_message.Message):
    __slots__ = ("pedido_id", "status", "motivo", "metodo", "valor_centavos", "data_processamento")
    PEDIDO_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    MOTIVO_FIELD_NUMBER: _ClassVar[int]
    METODO_FIELD_NUMBER: _ClassVar[int]
    VALOR_CENTAVOS_FIELD_NUMBER: _ClassVar[int]
    DATA_PROCESSAMENTO_FIELD_NUMBER: _ClassVar[int]
    pedido_id: int
    status: str
    motivo: str
    metodo: str
    valor_centavos: int
    data_processamento: str
    def __init__(self, pedido_id: _Optional[int] = ..., status: _Optional[str] = ..., motivo: _Optional[str] = ..., metodo: _Optional[str] = ..., valor_centavos: _Optional[int] = ..., data_processamento: _Optional[str] = ...) -> None: ...
