"""The order book of Pedidos: its states, its schema and its rules. Nothing here awaits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from common import contratos as c
from common.erros import ErroServico, conflito, invalido, nao_encontrado, precondicao
from common.servicos.protocolo.passo import TRANSICOES as LOG
from common.servicos.protocolo.passo import Transicao, existente
from common.servicos.protocolo.sql import Importada
from common.servicos.protocolo.tabelas import Facts, Ledger, Look, Query, Read, Table, Unique
from common.servicos.protocolo.transicoes import AUSENTE, Transicoes, terminais, transicionar

# Stored are pendente, cancelando and the terminal ones; the steps between are known from the
# replies and enter the log with the final commit.
TRANSICOES: Transicoes = {
    (AUSENTE, "criar"): "pendente",
    ("pendente", "aprovar_pagamento"): "pagamento_aprovado",
    ("pagamento_aprovado", "separar"): "em_separacao",
    ("em_separacao", "emitir_nota"): "nf_emitida",
    ("nf_emitida", "enviar"): "enviado",
    ("pendente", "recusar"): "cancelado",
    ("pagamento_aprovado", "recusar"): "cancelado",
    ("em_separacao", "recusar"): "cancelado",
    ("nf_emitida", "recusar"): "cancelado",
    ("pendente", "desistir"): "cancelando",
    ("cancelando", "recusar"): "cancelado",
    ("cancelando", "enviar"): "enviado",
}
TERMINAIS = terminais(TRANSICOES)

ESQUEMA = """
CREATE TABLE clientes (
    id INTEGER PRIMARY KEY,
    nome TEXT NOT NULL,
    email TEXT NOT NULL UNIQUE
);
CREATE TABLE pedidos (
    id INTEGER PRIMARY KEY,
    cliente_id INTEGER NOT NULL REFERENCES clientes (id),
    data_criacao TEXT NOT NULL,
    criado_epoca REAL NOT NULL,
    status TEXT NOT NULL,
    motivo TEXT,
    valor_total_centavos INTEGER NOT NULL,
    metodo TEXT,
    chave_idempotencia TEXT UNIQUE,
    resumo BLOB,
    pagamento_status TEXT,
    nota_numero TEXT,
    nota_chave TEXT,
    envio_codigo TEXT,
    envio_status TEXT,
    origem TEXT NOT NULL DEFAULT 'loja'
);
CREATE INDEX pedidos_abertos ON pedidos (id)
    WHERE status IN ('pendente', 'cancelando') AND origem = 'loja';
CREATE TABLE itens_pedido (
    pedido_id INTEGER NOT NULL REFERENCES pedidos (id),
    linha INTEGER NOT NULL,
    produto_id INTEGER NOT NULL,
    quantidade INTEGER NOT NULL CHECK (quantidade > 0),
    preco_unitario_centavos INTEGER NOT NULL,
    PRIMARY KEY (pedido_id, linha)
) WITHOUT ROWID;
CREATE TABLE transicoes (
    id INTEGER PRIMARY KEY,
    pedido_id INTEGER NOT NULL,
    de TEXT NOT NULL,
    para TEXT NOT NULL,
    motivo TEXT,
    instante TEXT NOT NULL
);
"""

IMPORTACAO = """
INSERT INTO clientes (id, nome, email) SELECT id, nome, email FROM loja.clientes ORDER BY id;
INSERT INTO pedidos (id, cliente_id, data_criacao, criado_epoca, status, motivo,
    valor_total_centavos, metodo, pagamento_status, nota_numero, nota_chave,
    envio_codigo, envio_status, origem)
SELECT p.id, p.cliente_id, p.data_criacao, COALESCE(unixepoch(p.data_criacao), 0), p.status,
    CASE WHEN p.status = 'cancelado' AND g.status = 'rejeitado' THEN 'pagamento_rejeitado' END,
    CAST(ROUND(COALESCE(p.valor_total, 0) * 100) AS INTEGER), g.metodo, g.status, n.numero,
    n.chave_acesso, e.codigo_rastreamento, e.status, 'importado'
FROM loja.pedidos p
LEFT JOIN loja.pagamentos g ON g.pedido_id = p.id
LEFT JOIN loja.notas_fiscais n ON n.pedido_id = p.id
LEFT JOIN loja.envios e ON e.pedido_id = p.id
ORDER BY p.id;
INSERT INTO itens_pedido (pedido_id, linha, produto_id, quantidade, preco_unitario_centavos)
SELECT pedido_id, id, produto_id, quantidade, CAST(ROUND(preco_unitario * 100) AS INTEGER)
FROM loja.itens_pedido ORDER BY pedido_id, id;
"""
IMPORTADO = (
    Importada("clientes", ("id", "nome", "email")),
    Importada(
        "pedidos",
        (
            "id", "cliente_id", "data_criacao", "status", "motivo", "valor_total_centavos", "metodo",
            "chave_idempotencia", "resumo", "pagamento_status", "nota_numero", "nota_chave",
            "envio_codigo", "envio_status", "origem",
        ),
        "origem <> 'loja'",
    ),
    Importada(
        "itens_pedido",
        ("pedido_id", "linha", "produto_id", "quantidade", "preco_unitario_centavos"),
        "pedido_id IN (SELECT id FROM pedidos WHERE origem <> 'loja')",
    ),
)  # fmt: skip


class ItemPrecificado(NamedTuple):
    """One line of an order with the price it was taken at."""

    produto_id: int
    quantidade: int
    preco_unitario_centavos: int


class NovoPedido(NamedTuple):
    """What is claimed: the key, the hash of the message, and the priced order."""

    chave: str
    resumo: bytes
    cliente_id: int
    metodo: str
    itens: tuple[ItemPrecificado, ...]

    @property
    def total_centavos(self) -> int:
        """The order's total."""
        return sum(item.quantidade * item.preco_unitario_centavos for item in self.itens)


class LinhaPedido(NamedTuple):
    """A row of the book."""

    pedido_id: int
    cliente_id: int
    status: Any
    motivo: Any
    valor_total_centavos: int
    metodo: Any
    resumo: bytes | None
    pagamento_status: str | None
    nota_numero: str | None
    nota_chave: str | None
    envio_codigo: str | None
    envio_status: str | None
    origem: str
    chave: str | None
    data_criacao: str
    criado_epoca: float

    @property
    def terminal(self) -> bool:
        """True when nothing will change it any more."""
        return self.status in TERMINAIS or self.origem != "loja"

    def resposta(self) -> c.PedidoResponse:
        """The order as its customer sees it."""
        pagamento = nota = envio = None
        if self.pagamento_status is not None:
            pagamento = c.ResumoPagamento(self.pagamento_status, self.metodo or "")
        if self.nota_numero is not None:
            nota = c.ResumoNotaFiscal(self.nota_numero, self.nota_chave or "")
        if self.envio_codigo is not None:
            envio = c.ResumoEnvio(self.envio_codigo, self.envio_status or "")
        return c.PedidoResponse(
            self.pedido_id,
            self.status,
            self.motivo,
            self.valor_total_centavos,
            pagamento,
            nota,
            envio,
        )


class Cliente(NamedTuple):
    """A customer."""

    id: int
    nome: str


class LinhaItem(NamedTuple):
    """One line of an order."""

    pedido_id: int
    linha: int
    produto_id: int
    quantidade: int
    preco_unitario_centavos: int


class Id(NamedTuple):
    """An order's number."""

    pedido_id: int


CLIENTES: Table[int, Cliente] = Table("clientes", Cliente, "id")
PEDIDOS: Table[int, LinhaPedido] = Table(
    "pedidos",
    LinhaPedido,
    "pedido_id",
    serial=True,
    changes=(
        "status", "motivo", "pagamento_status", "nota_numero", "nota_chave", "envio_codigo",
        "envio_status",
    ),
    columns={"pedido_id": "id", "chave": "chave_idempotencia"},
)  # fmt: skip
PEDIDOS_POR_CHAVE: Unique[str, LinhaPedido] = Unique(PEDIDOS, "chave")
ITENS: Ledger[int, LinhaItem] = Ledger("itens_pedido", LinhaItem, "pedido_id", order="linha")

_ABERTO = "status IN ('pendente', 'cancelando') AND origem = 'loja'"
# A page of orders that have not ended, by ascending id: after which id, and how many.
ABERTOS: Query[LinhaPedido] = Query(
    f"SELECT {', '.join(PEDIDOS.columns)} FROM pedidos "  # noqa: S608 - constants of ours
    f"WHERE {_ABERTO} AND id > ? ORDER BY id LIMIT ?",
    LinhaPedido,
)
IDS_ABERTOS: Query[Id] = Query(f"SELECT id FROM pedidos WHERE {_ABERTO}", Id)  # noqa: S608
# A page of customers by ascending id: after which id, and how many.
PAGINA_CLIENTES: Query[Cliente] = Query(
    "SELECT id, nome FROM clientes WHERE id > ? ORDER BY id LIMIT ?", Cliente
)


class Reivindicacao(NamedTuple):
    """The outcome of a claim: the row, and whether this claim made it."""

    linha: LinhaPedido
    nova: bool


def leituras_da_reivindicacao(novo: NovoPedido) -> tuple[Read, ...]:
    """Name the rows that `reivindicar` needs."""
    return PEDIDOS_POR_CHAVE.of(novo.chave), CLIENTES.of(novo.cliente_id)


def reivindicar(fatos: Facts, novo: NovoPedido, instante: str, epoca: float) -> Reivindicacao:
    """Claim the key with a new order, or find the order that has it.

    Raises ErroServico (invalid) for an unknown customer.
    """
    existente = fatos.get(PEDIDOS_POR_CHAVE, novo.chave)
    if existente is not None:
        return Reivindicacao(existente, nova=False)
    if fatos.get(CLIENTES, novo.cliente_id) is None:
        raise invalido("cliente_id", f"o cliente {novo.cliente_id} não existe")
    pedido_id = fatos.new_id(PEDIDOS)
    linha = LinhaPedido(
        pedido_id=pedido_id,
        cliente_id=novo.cliente_id,
        status="pendente",
        motivo=None,
        valor_total_centavos=novo.total_centavos,
        metodo=novo.metodo,
        resumo=novo.resumo,
        pagamento_status=None,
        nota_numero=None,
        nota_chave=None,
        envio_codigo=None,
        envio_status=None,
        origem="loja",
        chave=novo.chave,
        data_criacao=instante,
        criado_epoca=epoca,
    )
    fatos.insert(PEDIDOS, linha)
    itens = [LinhaItem(pedido_id, numero, *item) for numero, item in enumerate(novo.itens, start=1)]
    fatos.insert(ITENS, *itens)
    fatos.insert(LOG, Transicao(pedido_id, AUSENTE, "pendente", None, instante))
    return Reivindicacao(linha, nova=True)


def por_chave(fatos: Look, chave: str) -> LinhaPedido | None:
    """The order claimed under a key, which is named beforehand."""
    return fatos.get(PEDIDOS_POR_CHAVE, chave)


def por_id(fatos: Look, pedido_id: int) -> LinhaPedido:
    """An order, which is named beforehand. Raises ErroServico (not found)."""
    linha = fatos.get(PEDIDOS, pedido_id)
    if linha is None:
        raise nao_encontrado(f"o pedido {pedido_id} não existe")
    return linha


def por_conduzir(fatos: Look, pedido_id: int) -> tuple[LinhaPedido, tuple[c.ItemPedido, ...]]:
    """An order and its lines: what a drive needs. Both are named beforehand.

    Raises ErroServico (not found).
    """
    itens = [
        c.ItemPedido(item.produto_id, item.quantidade) for item in fatos.rows(ITENS, pedido_id)
    ]
    return por_id(fatos, pedido_id), tuple(itens)


def conferir_resumo(linha: LinhaPedido, resumo: bytes) -> None:
    """Raises ErroServico (conflict) when a key comes back with another body."""
    if linha.resumo != resumo:
        raise conflito("a chave de idempotência já foi usada com outro corpo")


def ja_enviado(linha: LinhaPedido) -> ErroServico:
    """The answer to cancelling what was shipped or imported."""
    if linha.origem != "loja":
        return precondicao(f"o pedido {linha.pedido_id} é do histórico importado")
    return precondicao(f"o pedido {linha.pedido_id} já foi enviado")


def desistir(fatos: Facts, pedido_id: int, motivo: str, instante: str) -> LinhaPedido:
    """Flip a pending order one way to cancelando; any other stays as it is.

    Raises ErroServico (not found).
    """
    linha = por_id(fatos, pedido_id)
    if linha.status != "pendente" or linha.origem != "loja":
        return linha
    linha = linha._replace(status="cancelando", motivo=motivo)
    fatos.change(PEDIDOS, linha)
    fatos.insert(LOG, Transicao(pedido_id, "pendente", "cancelando", motivo, instante))
    return linha


def encerrar(
    fatos: Facts, pedido_id: int, andamento: c.AndamentoResponse, instante: str
) -> LinhaPedido:
    """Set the terminal status that the chain has decided; the first one stays."""
    linha = existente(fatos.get(PEDIDOS, pedido_id))
    if linha.terminal:
        return linha
    final = _final(linha, andamento)
    fatos.change(PEDIDOS, final)
    passos = [
        Transicao(pedido_id, de, para, final.motivo if para == "cancelado" else None, instante)
        for de, para in percurso(linha.status, andamento)
    ]
    fatos.insert(LOG, *passos)
    return final


def _final(linha: LinhaPedido, andamento: c.AndamentoResponse) -> LinhaPedido:
    """The row that an open order ends as."""
    pagamento, nota, envio = andamento.pagamento, andamento.nota_fiscal, andamento.envio
    motivo = None
    if andamento.status == "cancelado":
        # An order already cancelling keeps the reason it was given first. A cancelled invoice is
        # not an invoice to the customer.
        motivo, nota, envio = linha.motivo or andamento.motivo, None, None
    return linha._replace(
        status=andamento.status,
        motivo=motivo,
        pagamento_status=pagamento.status if pagamento else None,
        nota_numero=nota.numero if nota else None,
        nota_chave=nota.chave_acesso if nota else None,
        envio_codigo=envio.codigo_rastreamento if envio else None,
        envio_status=envio.status if envio else None,
    )


def percurso(status: str, andamento: c.AndamentoResponse) -> Iterator[tuple[str, str]]:
    """The legal steps from `status` to the end that a reply tells of."""
    eventos: list[str] = []
    pagamento, separacao = andamento.pagamento, andamento.separacao
    if status == "pendente" and pagamento is not None and pagamento.status != "rejeitado":
        eventos.append("aprovar_pagamento")
        if separacao is not None and separacao.status != "insuficiente":
            eventos.append("separar")
            if andamento.nota_fiscal is not None:
                eventos.append("emitir_nota")
    eventos.append("enviar" if andamento.status == "enviado" else "recusar")
    for evento in eventos:
        proximo = transicionar(TRANSICOES, status, evento)
        yield status, proximo
        status = proximo
