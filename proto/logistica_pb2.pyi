from proto import comum_pb2 as _comum_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AgendarEnvioRequest(_message.Message):
    __slots__ = ("pedido_id", "cliente_id", "nota_fiscal")
    PEDIDO_ID_FIELD_NUMBER: _ClassVar[int]
    CLIENTE_ID_FIELD_NUMBER: _ClassVar[int]
    NOTA_FISCAL_FIELD_NUMBER: _ClassVar[int]
    pedido_id: int
    cliente_id: int
    nota_fiscal: _comum_pb2.ResumoNotaFiscal
    def __init__(self, pedido_id: _Optional[int] = ..., cliente_id: _Optional[int] = ..., nota_fiscal: _Optional[_Union[_comum_pb2.ResumoNotaFiscal, _Mapping]] = ...) -> None: ...

class EnvioResponse(_message.Message):
    __slots__ = ("pedido_id", "status", "motivo", "codigo_rastreamento", "numero_nota", "data_despacho")
    PEDIDO_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    MOTIVO_FIELD_NUMBER: _ClassVar[int]
    CODIGO_RASTREAMENTO_FIELD_NUMBER: _ClassVar[int]
    NUMERO_NOTA_FIELD_NUMBER: _ClassVar[int]
    DATA_DESPACHO_FIELD_NUMBER: _ClassVar[int]
    pedido_id: int
    status: str
    motivo: str
    codigo_rastreamento: str
    numero_nota: str
    data_despacho: str
    def __init__(self, pedido_id: _Optional[int] = ..., status: _Optional[str] = ..., motivo: _Optional[str] = ..., codigo_rastreamento: _Optional[str] = ..., numero_nota: _Optional[str] = ..., data_despacho: _Optional[str] = ...) -> None: ...
