from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ItemPedido(_message.Message):
    __slots__ = ("produto_id", "quantidade")
    PRODUTO_ID_FIELD_NUMBER: _ClassVar[int]
    QUANTIDADE_FIELD_NUMBER: _ClassVar[int]
    produto_id: int
    quantidade: int
    def __init__(self, produto_id: _Optional[int] = ..., quantidade: _Optional[int] = ...) -> None: ...

class ResumoPagamento(_message.Message):
    __slots__ = ("status", "metodo")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    METODO_FIELD_NUMBER: _ClassVar[int]
    status: str
    metodo: str
    def __init__(self, status: _Optional[str] = ..., metodo: _Optional[str] = ...) -> None: ...

class ResumoSeparacao(_message.Message):
    __slots__ = ("status",)
    STATUS_FIELD_NUMBER: _ClassVar[int]
    status: str
    def __init__(self, status: _Optional[str] = ...) -> None: ...

class ResumoNotaFiscal(_message.Message):
    __slots__ = ("numero", "chave_acesso")
    NUMERO_FIELD_NUMBER: _ClassVar[int]
    CHAVE_ACESSO_FIELD_NUMBER: _ClassVar[int]
    numero: str
    chave_acesso: str
    def __init__(self, numero: _Optional[str] = ..., chave_acesso: _Optional[str] = ...) -> None: ...

class ResumoEnvio(_message.Message):
    __slots__ = ("codigo_rastreamento", "status")
    CODIGO_RASTREAMENTO_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    codigo_rastreamento: str
    status: str
    def __init__(self, codigo_rastreamento: _Optional[str] = ..., status: _Optional[str] = ...) -> None: ...

class AndamentoResponse(_message.Message):
    __slots__ = ("pedido_id", "status", "motivo", "pagamento", "separacao", "nota_fiscal", "envio")
    PEDIDO_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    MOTIVO_FIELD_NUMBER: _ClassVar[int]
    PAGAMENTO_FIELD_NUMBER: _ClassVar[int]
    SEPARACAO_FIELD_NUMBER: _ClassVar[int]
    NOTA_FISCAL_FIELD_NUMBER: _ClassVar[int]
    ENVIO_FIELD_NUMBER: _ClassVar[int]
    pedido_id: int
    status: str
    motivo: str
    pagamento: ResumoPagamento
    separacao: ResumoSeparacao
    nota_fiscal: ResumoNotaFiscal
    envio: ResumoEnvio
    def __init__(self, pedido_id: _Optional[int] = ..., status: _Optional[str] = ..., motivo: _Optional[str] = ..., pagamento: _Optional[_Union[ResumoPagamento, _Mapping]] = ..., separacao: _Optional[_Union[ResumoSeparacao, _Mapping]] = ..., nota_fiscal: _Optional[_Union[ResumoNotaFiscal, _Mapping]] = ..., envio: _Optional[_Union[ResumoEnvio, _Mapping]] = ...) -> None: ...

class CancelarPassoRequest(_message.Message):
    __slots__ = ("pedido_id", "motivo")
    PEDIDO_ID_FIELD_NUMBER: _ClassVar[int]
    MOTIVO_FIELD_NUMBER: _ClassVar[int]
    pedido_id: int
    motivo: str
    def __init__(self, pedido_id: _Optional[int] = ..., motivo: _Optional[str] = ...) -> None: ...

class ConsultarPassoRequest(_message.Message):
    __slots__ = ("pedido_id",)
    PEDIDO_ID_FIELD_NUMBER: _ClassVar[int]
    pedido_id: int
    def __init__(self, pedido_id: _Optional[int] = ...) -> None: ...
