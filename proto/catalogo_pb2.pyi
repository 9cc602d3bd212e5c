from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ListarProdutosRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ProdutoInfo(_message.Message):
    __slots__ = ("id", "nome", "estoque", "preco_centavos")
    ID_FIELD_NUMBER: _ClassVar[int]
    NOME_FIELD_NUMBER: _ClassVar[int]
    ESTOQUE_FIELD_NUMBER: _ClassVar[int]
    PRECO_CENTAVOS_FIELD_NUMBER: _ClassVar[int]
    id: int
    nome: str
    estoque: int
    preco_centavos: int
    def __init__(self, id: _Optional[int] = ..., nome: _Optional[str] = ..., estoque: _Optional[int] = ..., preco_centavos: _Optional[int] = ...) -> None: ...

class ListaProdutosResponse(_message.Message):
    __slots__ = ("produtos",)
    PRODUTOS_FIELD_NUMBER: _ClassVar[int]
    produtos: _containers.RepeatedCompositeFieldContainer[ProdutoInfo]
    def __init__(self, produtos: _Optional[_Iterable[_Union[ProdutoInfo, _Mapping]]] = ...) -> None: ...

class ConsultarPrecosRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PrecoProduto(_message.Message):
    __slots__ = ("id", "preco_centavos")
    ID_FIELD_NUMBER: _ClassVar[int]
    PRECO_CENTAVOS_FIELD_NUMBER: _ClassVar[int]
    id: int
    preco_centavos: int
    def __init__(self, id: _Optional[int] = ..., preco_centavos: _Optional[int] = ...) -> None: ...

class ListaPrecosResponse(_message.Message):
    __slots__ = ("precos",)
    PRECOS_FIELD_NUMBER: _ClassVar[int]
    precos: _containers.RepeatedCompositeFieldContainer[PrecoProduto]
    def __init__(self, precos: _Optional[_Iterable[_Union[PrecoProduto, _Mapping]]] = ...) -> None: ...
