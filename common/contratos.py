"""The messages and the table of operations: the one contract that every arm is bound from.

A message is a frozen struct whose field names are those of the wire in both protocols. Limits are
part of the type, so the JSON decoder, the gRPC translator and the OpenAPI page all read the same
rule. Money is an integer number of centavos. A struct and its protobuf message share their name.

Adding an operation costs one row in OPERACOES, its messages here and in `proto/`, and one method
on the service.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from common.erros import invalido

SERVICOS: Final = ("pedidos", "pagamentos", "estoque", "fiscal", "logistica", "catalogo")

# --- Limits, each with its unit and its reason ------------------------------------------------

# Lines. A basket, not a wholesale list; keeps one order's transaction and messages small.
ITENS_POR_PEDIDO_MAX: Final = 50
# Units of one product. Far above a basket's need, far below what could overflow a sum of money.
UNIDADES_POR_ITEM_MAX: Final = 1_000
# Characters. As long as the longest identifiers in use (two UUIDs and a prefix fit twice).
CHAVE_IDEMPOTENCIA_MAX: Final = 255
# Ids are int32 on the wire (the course's ProdutoInfo fixes it); orders may outgrow it.
ID_MAX: Final = 2**31 - 1
PEDIDO_ID_MAX: Final = 2**63 - 1
# Units of a product: int32 on the wire, as its id.
ESTOQUE_MAX: Final = ID_MAX
# Centavos: items x units x the dearest product stays far below.
CENTAVOS_MAX: Final = 10**15
# Customers in one page, so that a large shop cannot be asked for in one answer.
CLIENTES_POR_PAGINA_MAX: Final = 10_000

Id = Annotated[int, Meta(ge=1, le=ID_MAX)]
PedidoId = Annotated[int, Meta(ge=1, le=PEDIDO_ID_MAX)]
Quantidade = Annotated[int, Meta(ge=1, le=UNIDADES_POR_ITEM_MAX)]
Centavos = Annotated[int, Meta(ge=1, le=CENTAVOS_MAX)]

MetodoPagamento = Literal["cartao_credito", "boleto", "pix"]
StatusPedido = Literal[
    "pendente",
    "pagamento_aprovado",
    "em_separacao",
    "nf_emitida",
    "enviado",
    "entregue",
    "cancelando",
    "cancelado",
]
# Statuses after which an order changes no more.
TERMINAIS: Final[frozenset[StatusPedido]] = frozenset({"enviado", "entregue", "cancelado"})
# Why an order ended without being shipped.
Motivo = Literal["pagamento_rejeitado", "estoque_insuficiente", "solicitado", "expirado"]
MotivoCancelamento = Literal["solicitado", "expirado"]
# What a step of the chain can say for sure; anything else is an error, that is: unknown.
Desfecho = Literal["enviado", "cancelado"]


class Mensagem(Struct, frozen=True, forbid_unknown_fields=True):
    """Base of every message: immutable, and strict about fields it does not know."""


# --- Parts ------------------------------------------------------------------------------------


class ItemPedido(Mensagem, frozen=True):
    """One line of a basket."""

    produto_id: Id
    quantidade: Quantidade


Itens = Annotated[tuple[ItemPedido, ...], Meta(min_length=1, max_length=ITENS_POR_PEDIDO_MAX)]


class ResumoPagamento(Mensagem, frozen=True):
    """`status`: aprovado, rejeitado or estornado."""

    status: str
    metodo: str


class ResumoSeparacao(Mensagem, frozen=True):
    """`status`: separado, insuficiente or devolvido."""

    status: str


class ResumoNotaFiscal(Mensagem, frozen=True):
    """`numero` is NF and nine digits; `chave_acesso` is 44 digits with a valid check digit."""

    numero: Annotated[str, Meta(min_length=1, max_length=40)]
    chave_acesso: Annotated[str, Meta(min_length=44, max_length=44, pattern="^[0-9]{44}$")]


class ResumoEnvio(Mensagem, frozen=True):
    """The parcel: BR, nine digits, PY."""

    codigo_rastreamento: str
    status: str


# --- Pedidos ----------------------------------------------------------------------------------


class CriarPedidoRequest(Mensagem, frozen=True):
    """A basket to be checked out; prices are never taken from the client."""

    cliente_id: Id
    itens: Itens
    metodo_pagamento: MetodoPagamento


class ConsultarPedidoRequest(Mensagem, frozen=True):
    """Look an order up."""

    pedido_id: PedidoId


class CancelarPedidoRequest(Mensagem, frozen=True):
    """Ask for an order to be cancelled."""

    pedido_id: PedidoId


class PedidoResponse(Mensagem, frozen=True):
    """An order as its customer sees it; the three parts are null when there is none."""

    pedido_id: int
    status: StatusPedido
    motivo: Motivo | None
    valor_total_centavos: int
    pagamento: ResumoPagamento | None
    nota_fiscal: ResumoNotaFiscal | None
    envio: ResumoEnvio | None


class ListarClientesRequest(Mensagem, frozen=True):
    """A page of customers by ascending id, after `apos_id`; `limite` 0 means the largest page."""

    apos_id: Annotated[int, Meta(ge=0, le=ID_MAX)] = 0
    limite: Annotated[int, Meta(ge=0, le=CLIENTES_POR_PAGINA_MAX)] = 0


class ClienteInfo(Mensagem, frozen=True):
    """A customer."""

    id: int
    nome: str


class ListaClientesResponse(Mensagem, frozen=True):
    """A page of customers."""

    clientes: tuple[ClienteInfo, ...]


# --- The chain --------------------------------------------------------------------------------


class ProcessarPagamentoRequest(Mensagem, frozen=True):
    """Charge an order and carry it on down the chain."""

    pedido_id: PedidoId
    cliente_id: Id
    valor_total_centavos: Centavos
    metodo_pagamento: MetodoPagamento
    itens: Itens


class SepararEstoqueRequest(Mensagem, frozen=True):
    """Take an order's items, all or none, and carry it on down the chain."""

    pedido_id: PedidoId
    cliente_id: Id
    valor_total_centavos: Centavos
    itens: Itens


class EmitirNotaFiscalRequest(Mensagem, frozen=True):
    """Invoice an order and carry it on down the chain."""

    pedido_id: PedidoId
    cliente_id: Id
    valor_total_centavos: Centavos


class AgendarEnvioRequest(Mensagem, frozen=True):
    """Book the shipment of an invoiced order: the pivot of the chain."""

    pedido_id: PedidoId
    cliente_id: Id
    nota_fiscal: ResumoNotaFiscal


class CancelarPassoRequest(Mensagem, frozen=True):
    """Fence an order at the pivot and undo it on the way back."""

    pedido_id: PedidoId
    motivo: MotivoCancelamento = "solicitado"


class AndamentoResponse(Mensagem, frozen=True):
    """What a step of the chain knows for sure, grown hop by hop on the way back.

    `status` enviado means done (or, to a cancelling call: already sent); cancelado means refused
    or cancelled, durably, with its `motivo`. There is no third value: unknown is an error.
    """

    pedido_id: int
    status: Desfecho
    motivo: Motivo | None = None
    pagamento: ResumoPagamento | None = None
    separacao: ResumoSeparacao | None = None
    nota_fiscal: ResumoNotaFiscal | None = None
    envio: ResumoEnvio | None = None


class ConsultarPassoRequest(Mensagem, frozen=True):
    """Look up what one service of the chain holds of an order."""

    pedido_id: PedidoId


class PagamentoResponse(Mensagem, frozen=True):
    """`status`: aprovado, rejeitado, estornado, tombstone, or importado's own status."""

    pedido_id: int
    status: str
    motivo: Motivo | None
    metodo: str | None
    valor_centavos: int | None
    data_processamento: str | None


class SeparacaoResponse(Mensagem, frozen=True):
    """`status`: separado, insuficiente, devolvido or tombstone."""

    pedido_id: int
    status: str
    motivo: Motivo | None
    itens: tuple[ItemPedido, ...]


class NotaFiscalResponse(Mensagem, frozen=True):
    """`status`: emitida, cancelada, tombstone or importado."""

    pedido_id: int
    status: str
    motivo: Motivo | None
    numero: str | None
    chave_acesso: str | None
    valor_centavos: int | None
    data_emissao: str | None


class EnvioResponse(Mensagem, frozen=True):
    """`status`: enviado, tombstone, or the status of an imported shipment."""

    pedido_id: int
    status: str
    motivo: Motivo | None
    codigo_rastreamento: str | None
    numero_nota: str | None
    data_despacho: str | None


# --- Estoque and Catalogo ---------------------------------------------------------------------


class ConsultarEstoqueRequest(Mensagem, frozen=True):
    """How many units of one product are available."""

    produto_id: Id


class SaldoEstoque(Mensagem, frozen=True):
    """Available units of a product."""

    produto_id: int
    quantidade: int


class ListarEstoqueRequest(Mensagem, frozen=True):
    """How many units of every product are available."""


class ListaEstoqueResponse(Mensagem, frozen=True):
    """Available units of every product."""

    saldos: tuple[SaldoEstoque, ...]


class ListarProdutosRequest(Mensagem, frozen=True):
    """The shop's products with their stock."""


class ProdutoInfo(Mensagem, frozen=True):
    """A product; `estoque` is at most a second old and may be 0."""

    id: int
    nome: str
    estoque: int
    preco_centavos: int


class ListaProdutosResponse(Mensagem, frozen=True):
    """The shop's products."""

    produtos: tuple[ProdutoInfo, ...]


class ConsultarPrecosRequest(Mensagem, frozen=True):
    """Prices of every product; no stock is asked."""


class PrecoProduto(Mensagem, frozen=True):
    """A price."""

    id: int
    preco_centavos: int


class ListaPrecosResponse(Mensagem, frozen=True):
    """Prices of every product."""

    precos: tuple[PrecoProduto, ...]


# --- Operations -------------------------------------------------------------------------------

# How an operation is admitted: orders queue at the edge, steps are bounded at each hop, cancelling
# passes first, lookups are cheap reads.
Classe = Literal["pedido", "passo", "cancelamento", "consulta"]


class Operacao(Struct, frozen=True):
    """One row of the contract.

    `nome` is the method on the service. `lista` names the field that is the whole body in REST,
    where a list travels bare. Fields of the request that the path does not name travel in the
    body (POST) or in the query (GET).
    """

    servico: str
    nome: str
    metodo_grpc: str
    metodo_http: Literal["GET", "POST"]
    caminho: str
    requisicao: type[Mensagem]
    resposta: type[Mensagem]
    classe: Classe
    resumo: str
    lista: str | None = None


# fmt: off
OPERACOES: Final[tuple[Operacao, ...]] = (
    Operacao("pedidos", "criar_pedido", "CriarPedido", "POST", "/pedidos",
             CriarPedidoRequest, PedidoResponse, "pedido", "Cria um pedido e o leva até o envio"),
    Operacao("pedidos", "consultar_pedido", "ConsultarPedido", "GET", "/pedidos/{pedido_id}",
             ConsultarPedidoRequest, PedidoResponse, "consulta", "Consulta um pedido"),
    Operacao("pedidos", "cancelar_pedido", "CancelarPedido", "POST", "/pedidos/{pedido_id}/cancelamento",
             CancelarPedidoRequest, PedidoResponse, "cancelamento", "Cancela um pedido ainda não enviado"),
    Operacao("pedidos", "listar_clientes", "ListarClientes", "GET", "/clientes",
             ListarClientesRequest, ListaClientesResponse, "consulta", "Lista os clientes", "clientes"),

    Operacao("pagamentos", "processar_pagamento", "ProcessarPagamento", "POST", "/pagamentos",
             ProcessarPagamentoRequest, AndamentoResponse, "passo", "Cobra o pedido e segue a cadeia"),
    Operacao("pagamentos", "consultar_pagamento", "ConsultarPagamento", "GET", "/pagamentos/{pedido_id}",
             ConsultarPassoRequest, PagamentoResponse, "consulta", "Consulta um pagamento"),
    Operacao("pagamentos", "cancelar_pagamento", "CancelarPagamento", "POST", "/pagamentos/{pedido_id}/cancelamento",
             CancelarPassoRequest, AndamentoResponse, "cancelamento", "Cancela e estorna"),

    Operacao("estoque", "separar_estoque", "SepararEstoque", "POST", "/estoque/separar",
             SepararEstoqueRequest, AndamentoResponse, "passo", "Separa todos os itens, ou nenhum, e segue a cadeia"),
    Operacao("estoque", "consultar_separacao", "ConsultarSeparacao", "GET", "/estoque/separacoes/{pedido_id}",
             ConsultarPassoRequest, SeparacaoResponse, "consulta", "Consulta uma separação"),
    Operacao("estoque", "cancelar_separacao", "CancelarSeparacao", "POST", "/estoque/separacoes/{pedido_id}/cancelamento",
             CancelarPassoRequest, AndamentoResponse, "cancelamento", "Cancela e devolve ao estoque"),
    Operacao("estoque", "listar_estoque", "ListarEstoque", "GET", "/estoque",
             ListarEstoqueRequest, ListaEstoqueResponse, "consulta", "Lista os saldos", "saldos"),
    Operacao("estoque", "consultar_estoque", "ConsultarEstoque", "GET", "/estoque/{produto_id}",
             ConsultarEstoqueRequest, SaldoEstoque, "consulta", "Consulta o saldo de um produto"),

    Operacao("fiscal", "emitir_nota_fiscal", "EmitirNotaFiscal", "POST", "/notas-fiscais",
             EmitirNotaFiscalRequest, AndamentoResponse, "passo", "Emite a nota fiscal e segue a cadeia"),
    Operacao("fiscal", "consultar_nota_fiscal", "ConsultarNotaFiscal", "GET", "/notas-fiscais/{pedido_id}",
             ConsultarPassoRequest, NotaFiscalResponse, "consulta", "Consulta uma nota fiscal"),
    Operacao("fiscal", "cancelar_nota_fiscal", "CancelarNotaFiscal", "POST", "/notas-fiscais/{pedido_id}/cancelamento",
             CancelarPassoRequest, AndamentoResponse, "cancelamento", "Cancela a nota fiscal"),

    Operacao("logistica", "agendar_envio", "AgendarEnvio", "POST", "/envios",
             AgendarEnvioRequest, AndamentoResponse, "passo", "Agenda o envio: o pivô da cadeia"),
    Operacao("logistica", "consultar_envio", "ConsultarEnvio", "GET", "/envios/{pedido_id}",
             ConsultarPassoRequest, EnvioResponse, "consulta", "Consulta um envio"),
    Operacao("logistica", "cancelar_envio", "CancelarEnvio", "POST", "/envios/{pedido_id}/cancelamento",
             CancelarPassoRequest, AndamentoResponse, "cancelamento", "Impede o envio, se ainda não aconteceu"),

    Operacao("catalogo", "listar_produtos", "ListarProdutos", "GET", "/produtos",
             ListarProdutosRequest, ListaProdutosResponse, "consulta", "Lista os produtos e o estoque", "produtos"),
    Operacao("catalogo", "consultar_precos", "ConsultarPrecos", "GET", "/precos",
             ConsultarPrecosRequest, ListaPrecosResponse, "consulta", "Lista os preços", "precos"),
)
# fmt: on


def operacoes_de(servico: str) -> tuple[Operacao, ...]:
    """The operations that one service serves, in the order of the table."""
    return tuple(operacao for operacao in OPERACOES if operacao.servico == servico)


def validar_itens(itens: tuple[ItemPedido, ...]) -> None:
    """Refuse a basket that names a product twice; the types cannot say that rule.

    Raises ErroServico (invalid) that names the second occurrence.
    """
    if len(itens) == 1:
        return
    vistos: set[int] = set()
    for posicao, item in enumerate(itens):
        if item.produto_id in vistos:
            campo = f"itens[{posicao}].produto_id"
            raise invalido(campo, f"o produto {item.produto_id} aparece mais de uma vez")
        vistos.add(item.produto_id)
