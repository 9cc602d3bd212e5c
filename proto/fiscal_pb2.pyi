from proto import comum_pb2 as _comum_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class EmitirNotaFiscalRequest(_message.Message):
    __slots__ = ("pedido_id", "cliente_id", "valor_total_centavos")
    PEDIDO_ID_FIELD_NUMBER: _ClassVar[int]
    CLIENTE_ID_FIELD_NUMBER: _ClassVar[int]
    VALOR_TOTAL_CENTAVOS_FIELD_NUMBER: _ClassVar[int]
    pedido_id: int
    cliente_id: int
    valor_total_centavos: int
    def __init__(self, pedido_id: _Optional[int] = ..., cliente_id: _Optional[int] = ..., valor_total_centavos: _Optional[int] = ...) -> None: ...

class NotaFiscalResponse(_message.Message):
    __slots__ = ("pedido_id", "status", "motivo", "numero", "chave_acesso", "valor_centavos", "data_emissao")
    PEDIDO_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    MOTIVO_FIELD_NUMBER: _ClassVar[int]
    NUMERO_FIELD_NUMBER: _ClassVar[int]
    CHAVE_ACESSO_FIELD_NUMBER: _ClassVar[int]
    VALOR_CENTAVOS_FIELD_NUMBER: _ClassVar[int]
    DATA_EMISSAO_FIELD_NUMBER: _ClassVar[int]
    pedido_id: int
    status: str
    motivo: str
    numero: str
    chave_acesso: str
    valor_centavos: int
    data_emissao: str
    def __init__(self, pedido_id: _Optional[int] = ..., status: _Optional[str] = ..., motivo: _Optional[str] = ..., numero: _Optional[str] = ..., chave_acesso: _Optional[str] = ..., valor_centavos: _Optional[int] = ..., data_emissao: _Optional[str] = ...) -> None: ...
