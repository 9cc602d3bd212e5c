"""The composition root: each of the six services, put together from its rules and its ports."""

from __future__ import annotations

import random
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from common.faults.points import StruckCaminho, StruckGateway
from common.runtime.site import Site
from common.servicos.catalogo import Catalogo
from common.servicos.estoque import Estoque, PassoEstoque
from common.servicos.fiscal import Fiscal, PassoFiscal
from common.servicos.logistica import CODIGOS_IMPORTADOS, Logistica, PassoLogistica
from common.servicos.pagamentos.gateway import GatewaySimulado
from common.servicos.pagamentos.pagamentos import Cobranca, Pagamentos, PassoPagamentos
from common.servicos.pedidos.caminho import Caminho
from common.servicos.pedidos.conducao import Condutor
from common.servicos.pedidos.pedidos import Pedidos
from common.servicos.pedidos.recuperacao import Politica
from common.servicos.pedidos.retentativa import Orcamento
from common.servicos.protocolo.continuation import CallChain, Next
from common.servicos.protocolo.portas import GatewayPagamento
from common.servicos.protocolo.vizinhos import (
    VizinhoCatalogo,
    VizinhoEstoque,
    VizinhoFiscal,
    VizinhoLogistica,
    VizinhoPagamentos,
)
from common.serving.admission import Slots
from common.settings import Settings
from common.storage.files import GATEWAY, SALAS

# Seconds that a recovering drive has on top of the slowest payment, for everything else it does.
DRIVE_SLACK_S: Final = 10.0


@dataclass(frozen=True)
class Service:
    """A service, put together. `operations` is the object whose methods are its operations.

    `slots` is admission at the edge, `background` what the service does on its own account.
    """

    operations: Any
    slots: Slots | None = None
    background: Callable[[], Coroutine[Any, Any, None]] | None = None


async def pedidos(site: Site) -> Service:
    """The edge: claims orders and has them driven."""
    settings, tasks = site.settings, site.tasks
    database = await site.database(SALAS["pedidos"])
    call, passage = site.neighbour("pagamentos")
    condutor = Condutor(
        database=database,
        clock=site.clock,
        tasks=tasks,
        pagamentos=VizinhoPagamentos(call),
        passage=passage,
        orcamento=Orcamento(random.random),
        politica=_politica(settings),
    )
    site.meters.retries = lambda: condutor.retentativas
    await condutor.contar_abertas()
    slots = Slots(
        settings.in_flight_max, settings.active_max, tasks, abertas=lambda: condutor.abertas
    )
    caminho: Caminho = condutor
    if site.faults is not None:
        caminho = StruckCaminho(condutor, site.faults)
    catalogo, _ = site.neighbour("catalogo")
    operations = Pedidos(
        database=database,
        clock=site.clock,
        tasks=tasks,
        admission=slots,
        catalogo=VizinhoCatalogo(catalogo),
        caminho=caminho,
        nova_chave=lambda: str(uuid.uuid4()),
    )
    return Service(operations, slots, condutor.recuperar_sempre)


async def pagamentos(site: Site) -> Service:
    """The second service: charges, then has the stock taken."""
    settings = site.settings
    database = await site.database(SALAS["pagamentos"])
    gateway: GatewayPagamento = GatewaySimulado(
        await site.foreign_database(GATEWAY),
        site.clock,
        semente=settings.seed,
        latencia_min_s=settings.payment_latency[0],
        latencia_max_s=settings.payment_latency_max_s,
        aprovacao=settings.payment_approval,
    )
    if site.faults is not None:
        gateway = StruckGateway(gateway, site.faults)
    call, _ = site.neighbour("estoque")
    estoque = VizinhoEstoque(call)
    chain = CallChain(
        PassoPagamentos(),
        database,
        site.clock,
        Next(estoque.separar_estoque, estoque.cancelar_separacao),
        Cobranca(database, gateway),
    )
    return Service(Pagamentos(database, chain))


async def estoque(site: Site) -> Service:
    """The third service: takes the items, then has the order invoiced."""
    database = await site.database(SALAS["estoque"])
    call, _ = site.neighbour("fiscal")
    fiscal = VizinhoFiscal(call)
    following = Next(fiscal.emitir_nota_fiscal, fiscal.cancelar_nota_fiscal)
    return Service(Estoque(database, CallChain(PassoEstoque(), database, site.clock, following)))


async def fiscal(site: Site) -> Service:
    """The fourth service: issues the invoice, then has the parcel booked."""
    database = await site.database(SALAS["fiscal"])
    call, _ = site.neighbour("logistica")
    logistica = VizinhoLogistica(call)
    following = Next(logistica.agendar_envio, logistica.cancelar_envio)
    return Service(Fiscal(database, CallChain(PassoFiscal(), database, site.clock, following)))


async def logistica(site: Site) -> Service:
    """The last service: its row is the pivot."""
    database = await site.database(SALAS["logistica"])
    importados = await database.select(None, CODIGOS_IMPORTADOS)
    passo = PassoLogistica([importado.codigo_rastreamento for importado in importados])
    return Service(Logistica(database, CallChain(passo, database, site.clock)))


async def catalogo(site: Site) -> Service:
    """The shop's window."""
    database = await site.database(SALAS["catalogo"])
    call, _ = site.neighbour("estoque")
    return Service(Catalogo(database, site.clock, site.tasks, VizinhoEstoque(call)))


SERVICES: Final[dict[str, Callable[[Site], Awaitable[Service]]]] = {
    "pedidos": pedidos,
    "pagamentos": pagamentos,
    "estoque": estoque,
    "fiscal": fiscal,
    "logistica": logistica,
    "catalogo": catalogo,
}


def _politica(settings: Settings) -> Politica:
    return Politica(
        intervalo_varredura_s=settings.sweep_interval_s,
        # Seconds. Above the slowest payment, or an order that waits for it never ends.
        prazo_conducao_s=max(
            settings.drive_deadline_s, settings.payment_latency_max_s + DRIVE_SLACK_S
        ),
        idade_desistencia_s=settings.give_up_age_s,
        espera_passagem_s=settings.passage_wait_s,
    )
