"""A small shop whose services call each other directly, with links that can be cut."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import AsyncExitStack, asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

import msgspec

from common import contratos as c
from common.erros import ErroServico, indisponivel
from common.runtime.execution import AsyncClock, AsyncTasks
from common.servicos.catalogo import Catalogo
from common.servicos.estoque import Estoque, PassoEstoque
from common.servicos.fiscal import Fiscal, PassoFiscal
from common.servicos.logistica import Logistica, PassoLogistica
from common.servicos.pagamentos.gateway import GatewaySimulado
from common.servicos.pagamentos.pagamentos import Cobranca, Pagamentos, PassoPagamentos
from common.servicos.pedidos import livro
from common.servicos.pedidos.conducao import Condutor, Politica
from common.servicos.pedidos.pedidos import Pedidos
from common.servicos.pedidos.retentativa import Orcamento
from common.servicos.protocolo.contexto import Contexto
from common.servicos.protocolo.continuation import CallChain, Next
from common.servicos.protocolo.vizinhos import (
    VizinhoCatalogo,
    VizinhoEstoque,
    VizinhoFiscal,
    VizinhoLogistica,
    VizinhoPagamentos,
)
from common.serving.admission import Slots
from common.serving.circuit_breaker import AlwaysFree
from common.shop.generator import Opcoes, gerar
from common.storage.event_loop import Storage
from common.storage.files import GATEWAY, SALAS, database_path, prepare

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

# Units of each product.
ESTOQUE = 60
# Imported orders; the first driven one follows them.
PASSADO = 60


class Cabo:
    """The link to the next service: whole, cut on the way there, or cut on the way back."""

    def __init__(self, alvo: object) -> None:
        self._alvo = alvo
        self.corte: str | None = None

    async def call(self, operacao: c.Operacao, ctx: Contexto, req: Any) -> Any:
        """The port `Call`."""
        if self.corte == "ida":
            raise indisponivel("cabo cortado na ida")
        resposta = await getattr(self._alvo, operacao.nome)(ctx, req)
        if self.corte == "volta":
            raise indisponivel("cabo cortado na volta")
        return resposta


class RelogioAjustado(AsyncClock):
    """The machine's clocks, of which the wall clock is `adiante` seconds ahead."""

    adiante = 0.0

    def timestamp(self) -> str:
        """The wall clock as it was set."""
        agora = datetime.now(UTC) + timedelta(seconds=self.adiante)
        return agora.isoformat(timespec="milliseconds")

    def epoch(self) -> float:
        """The same, seconds since 1970."""
        return super().epoch() + self.adiante


class Loja:
    """The six services in one process, and the client that keeps a history of what it was told."""

    def __init__(self, data_dir: Path, pilha: AsyncExitStack) -> None:
        self.data_dir = data_dir
        self.historia: list[dict[str, Any]] = []
        self.cabos: dict[str, Cabo] = {}
        self.relogios = {nome: RelogioAjustado() for nome in (*SALAS, GATEWAY.nome)}
        self.pedidos: Any = None
        self.condutor: Any = None
        self._pilha = pilha
        self._proxima_chave = 0

    async def abrir(self) -> Self:
        """Open the services from the last to the first."""
        relogios, tasks = self.relogios, AsyncTasks()
        bancos = {}
        for nome in (*SALAS, "gateway"):
            banco = await Storage.open(database_path(self.data_dir, nome), synchronous="OFF")
            self._pilha.push_async_callback(banco.close)
            bancos[nome] = banco
        gateway = GatewaySimulado(
            bancos["gateway"],
            relogios["gateway"],
            semente=7,
            latencia_min_s=0,
            latencia_max_s=0,
            aprovacao=0.7,
        )
        chain = CallChain(PassoLogistica(), bancos["logistica"], relogios["logistica"])
        logistica = VizinhoLogistica(self._cabo("logistica", Logistica(bancos["logistica"], chain)))
        seguinte = Next(logistica.agendar_envio, logistica.cancelar_envio)
        chain = CallChain(PassoFiscal(), bancos["fiscal"], relogios["fiscal"], seguinte)
        fiscal = VizinhoFiscal(self._cabo("fiscal", Fiscal(bancos["fiscal"], chain)))
        seguinte = Next(fiscal.emitir_nota_fiscal, fiscal.cancelar_nota_fiscal)
        chain = CallChain(PassoEstoque(), bancos["estoque"], relogios["estoque"], seguinte)
        estoque = VizinhoEstoque(self._cabo("estoque", Estoque(bancos["estoque"], chain)))
        seguinte = Next(estoque.separar_estoque, estoque.cancelar_separacao)
        banco = bancos["pagamentos"]
        fora = Cobranca(banco, gateway)
        chain = CallChain(PassoPagamentos(), banco, relogios["pagamentos"], seguinte, fora)
        pagamentos = VizinhoPagamentos(self._cabo("pagamentos", Pagamentos(banco, chain)))
        precos = Cabo(Catalogo(bancos["catalogo"], relogios["catalogo"], tasks, estoque))
        self.condutor = Condutor(
            database=bancos["pedidos"],
            clock=relogios["pedidos"],
            tasks=tasks,
            pagamentos=pagamentos,
            # No pauses: what is cut stays cut until the test mends it.
            orcamento=Orcamento(lambda: 0.0),
            politica=Politica(),
            passage=AlwaysFree(),
        )
        self.pedidos = Pedidos(
            database=bancos["pedidos"],
            clock=relogios["pedidos"],
            tasks=tasks,
            admission=Slots(1_000, 1_000, tasks),
            catalogo=VizinhoCatalogo(precos.call),
            caminho=self.condutor,
            nova_chave=lambda: "nunca usada",
        )
        self._pilha.push_async_callback(tasks.stop)
        return self

    def _cabo(self, nome: str, servico: object) -> Any:
        self.cabos[nome] = Cabo(servico)
        return self.cabos[nome].call

    async def criar(self, produto_id: int = 1, quantidade: int = 1, *, processo: int = 0) -> Any:
        """Order one or two products as a client does; returns the answer."""
        self._proxima_chave += 1
        itens = [c.ItemPedido(produto_id, quantidade)]
        if produto_id == 1:
            itens.append(c.ItemPedido(2, 1))
        req = c.CriarPedidoRequest(1, tuple(itens), "pix")
        return await self._pedir("criar_pedido", f"chave-{self._proxima_chave}", req, processo)

    async def consultar(self, chave: str, pedido_id: int, *, processo: int = 0) -> Any:
        """Look an order up."""
        req = c.ConsultarPedidoRequest(pedido_id)
        return await self._pedir("consultar_pedido", chave, req, processo)

    async def cancelar(self, chave: str, pedido_id: int, *, processo: int = 0) -> Any:
        """Cancel an order; None when the service refuses to."""
        req = c.CancelarPedidoRequest(pedido_id)
        return await self._pedir("cancelar_pedido", chave, req, processo)

    async def assentar(self) -> None:
        """Sweep until every order has ended."""
        banco = self.condutor._database
        while await banco.select(None, livro.ABERTOS, 0, 1):
            await self.condutor.varrer()
            await asyncio.sleep(0.01)

    async def _pedir(self, op: str, chave: str, req: c.Mensagem, processo: int) -> Any:
        comum = {"op": op, "key": chave, "process": processo}
        pedido = {} if op == "criar_pedido" else {"pedido_id": req.pedido_id}
        corpo = {"request": msgspec.to_builtins(req)} if op == "criar_pedido" else {}
        self._anotar(type="invoke", **comum, **pedido, **corpo)
        try:
            ctx = Contexto(time.monotonic() + 10, chave)
            resposta = await getattr(self.pedidos, op)(ctx, req)
        except ErroServico as erro:
            detalhe = {"kind": erro.categoria.value, "detail": erro.detalhe}
            self._anotar(type="fail", **comum, **pedido, error=detalhe)
            return None
        self._anotar(
            type="ok", **comum, pedido_id=resposta.pedido_id, answer=msgspec.to_builtins(resposta)
        )
        return resposta

    def _anotar(self, **linha: Any) -> None:
        self.historia.append({**linha, "time_ns": time.monotonic_ns()})


def preparar(data_dir: Path) -> None:
    """Make the seven files of a small shop with a past."""
    data_dir.mkdir()
    shop = data_dir / "ecommerce.db"
    gerar(shop, Opcoes(clientes=5, produtos=5, pedidos=PASSADO, estoque=(ESTOQUE, ESTOQUE)))
    for sala in (*SALAS.values(), GATEWAY):
        prepare(data_dir, sala, shop)


@asynccontextmanager
async def aberta(data_dir: Path) -> AsyncIterator[Loja]:
    """The shop at work for the life of the block."""
    async with AsyncExitStack() as pilha:
        yield await Loja(data_dir, pilha).abrir()


async def viver(loja: Loja) -> dict[str, list[int]]:
    """Make orders of every fate, at least a dozen of each; returns their ids by fate."""
    destinos: dict[str, list[int]] = {}
    await _de_uma_vez(loja, destinos)
    await _cancelados(loja, destinos)
    await _abertos(loja, destinos)
    await loja.consultar("desconhecida", 999_999)
    return destinos


async def _de_uma_vez(loja: Loja, destinos: dict[str, list[int]]) -> None:
    """Shipped, refused by the gateway, or out of stock, read again afterwards."""
    for numero in range(80):
        resposta = await loja.criar(3, ESTOQUE + 1) if numero % 3 == 0 else await loja.criar()
        destinos.setdefault(resposta.motivo or resposta.status, []).append(resposta.pedido_id)
        await loja.consultar(f"chave-{numero + 1}", resposta.pedido_id, processo=1)
    await loja.cancelar("chave-2", destinos["enviado"][0])


async def _cancelados(loja: Loja, destinos: dict[str, list[int]]) -> None:
    """Stuck at each hop and in both directions, then cancelled by request."""
    for corte in ("ida", "volta"):
        for cabo in loja.cabos.values():
            cabo.corte = corte
            presos = [await loja.criar() for _ in range(3)]
            cabo.corte = None
            for preso in presos:
                fim = preso
                # A payment that is refused never gets as far as the cut.
                if preso.status == "pendente":
                    fim = await loja.cancelar(f"chave-{preso.pedido_id - PASSADO}", preso.pedido_id)
                # Cancelling what was sent, its reply lost, is refused.
                destino = "enviado" if fim is None else fim.motivo
                destinos.setdefault(destino, []).append(preso.pedido_id)


async def _abertos(loja: Loja, destinos: dict[str, list[int]]) -> None:
    """Still open, stuck at each hop, some of them while being cancelled."""
    for corte in ("ida", "volta"):
        for cabo in loja.cabos.values():
            cabo.corte = corte
            for pendente in (True, False):
                resposta = await loja.criar()
                destino = "aberto" if resposta.status == "pendente" else resposta.motivo
                destinos.setdefault(destino, []).append(resposta.pedido_id)
                if destino == "aberto" and not pendente:
                    chave = f"chave-{resposta.pedido_id - PASSADO}"
                    await loja.cancelar(chave, resposta.pedido_id)
            cabo.corte = None


def escrever_historia(path: Path, linhas: list[dict[str, Any]]) -> Path:
    """The history as the load generator writes it."""
    path.write_bytes(b"".join(msgspec.json.encode(linha) + b"\n" for linha in linhas))
    return path


def corromper(data_dir: Path, nome: str, *comandos: str) -> None:
    """Change a service's file behind its back, with no rule in the way."""
    with closing(sqlite3.connect(database_path(data_dir, nome), isolation_level=None)) as con:
        con.execute("PRAGMA foreign_keys = OFF")
        con.execute("PRAGMA ignore_check_constraints = ON")
        for comando in comandos:
            assert con.execute(comando).rowcount != 0, comando
