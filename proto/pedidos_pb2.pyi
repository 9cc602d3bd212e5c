from proto import comum_pb2 as _comum_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CriarPedidoRequest(_message.Message):
    __slots__ = ("cliente_id", "itens", "metodo_pagamento")
    CLIENTE_ID_FIELD_NUMBER: _ClassVar[int]
    ITENS_FIELD_NUMBER: _ClassVar[int]
    METODO_PAGAMENTO_FIELD_NUMBER: _ClassVar[int]
    cliente_id: int
    itens: _containers.RepeatedCompositeFieldContainer[_comum_pb2.ItemPedido]
    metodo_pagamento: str
    def __init__(self, cliente_id: _Optional[int] = ..., itens: _Optional[_Iterable[_Union[_comum_pb2.ItemPedido, _Mapping]]] = ..., metodo_pagamento: _Optional[str] = ...) -> None: ...

class ConsultarPedidoRequest(_message.Message):
    __slots__ = ("pedido_id",)
    PEDIDO_ID_FIELD_NUMBER: _ClassVar[int]
    pedido_id: int
    def __init__(self, pedido_id: _Optional[int] = ...) -> None: ...

class CancelarPedidoRequest(_message.Message):
    __slots__ = ("pedido_id",)
    PEDIDO_ID_FIELD_NUMBER: _ClassVar[int]
    pedido_id: int
    def __init__(self, pedido_id: _Optional[int] = ...) -> None: ...

class PedidoResponse(_message.Message):
    __slots__ = ("pedido_id", "status", "motivo", "valor_total_centavos", "pagamento", "nota_fiscal", "envio")
    PEDIDO_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    MOTIVO_FIELD_NUMBER: _ClassVar[int]
    VALOR_TOTAL_CENTAVOS_FIELD_NUMBER: _ClassVar[int]
    PAGAMENTO_FIELD_NUMBER: _ClassVar[int]
    NOTA_FISCAL_FIELD_NUMBER: _ClassVar[int]
    ENVIO_FIELD_NUMBER: _ClassVar[int]
    pedido_id: int
    status: str
    motivo: str
    valor_total_centavos: int
    pagamento: _comum_pb2.ResumoPagamento
    nota_fiscal: _comum_pb2.ResumoNotaFiscal
    envio: _comum_pb2.ResumoEnvio
    def __init__(self, pedido_id: _Optional[int] = ..., status: _Optional[str] = ..., motivo: _Optional[str] = ..., valor_total_centavos: _Optional[int] = ..., pagamento: _Optional[_Union[_comum_pb2.ResumoPagamento, _Mapping]] = ..., nota_fiscal: _Optional[_Union[_comum_pb2.ResumoNotaFiscal, _Mapping]] = ..., envio: _Optional[_Union[_comum_pb2.ResumoEnvio, _Mapping]] = ...) -> None: ...

class ListarClientesRequest(_message.Message):
    __slots__ = ("apos_id", "limite")
    APOS_ID_FIELD_NUMBER: _ClassVar[int]
    LIMITE_FIELD_NUMBER: _ClassVar[int]
    apos_id: int
    limite: int
    def __init__(self, apos_id: _Optional[int] = ..., limite: _Optional[int] = ...) -> None: ...

class ClienteInfo(_message.Message):
    __slots__ = ("id", "nome")
    ID_FIELD_NUMBER: _ClassVar[int]
    NOME_FIELD_NUMBER: _ClassVar[int]
    id: int
    nome: str
    def __init__(self, id: _Optional[int] = ..., nome: _Optional[str] = ...) -> None: ...

class ListaClientesResponse(_message.Message):
    __slots__ = ("clientes",)
    CLIENTES_FIELD_NUMBER: _ClassVar[int]
    clientes: _containers.RepeatedCompositeFieldContainer[ClienteInfo]
    def __init__(self, clientes: _Optional[_Iterable[_Union[ClienteInfo, _Mapping]]] = ...) -> None: ...
