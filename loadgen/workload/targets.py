"""Who buys what: real customers and products of the running shop, skewed as real shops are.

The n-th order of a run is the same for the same seed and shop, whatever caller places it and
however many processes share the work.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import accumulate
from random import Random
from typing import Any, Final

import msgspec

from common import contratos as c
from common.servicos.protocolo.contexto import Contexto
from loadgen.workload.dial import dial_catalogo, dial_pedidos
from loadgen.workload.plan import Plan, Population

# Baskets prepared before the run; the n-th order takes the n-th, and round again. Enough that no
# cache sees a pattern, few enough to be ready in a moment. A prime number: one order in sixteen is
# sampled, and a multiple of sixteen would have the sample see the same few baskets all the time.
BASKETS: Final = 8_191
# Zipf's exponent: with thirty products the first sells a quarter of all, the last under a hundredth.
ZIPF_PRODUCTS: Final = 1.0
# Customers differ less than products do.
ZIPF_CUSTOMERS: Final = 0.5
# Units of one line, as (units, weight): most people buy one.
UNIDADES: Final = ((1, 2, 3), (70, 20, 10))
METODOS: Final[tuple[c.MetodoPagamento, ...]] = ("pix", "cartao_credito", "boleto")
# Seconds. Lists of a shop that answers at all come well within it.
LISTS_TIMEOUT_S: Final = 10.0


class Basket(msgspec.Struct, frozen=True):
    """An order to place, and its JSON for the history."""

    request: c.CriarPedidoRequest
    json: msgspec.Raw


class EmptyShopError(Exception):
    """The running shop has no customers or no products."""


async def fetch_population(mode: str, pedidos: str, catalogo: str) -> Population:
    """The ids of the shop that listens at these addresses.

    The first page of customers is population enough. Raises ErroServico when a service does not
    answer and EmptyShopError when there is nobody to buy or nothing to be bought.
    """
    ctx = Contexto(time.monotonic() + LISTS_TIMEOUT_S)
    shop = dial_pedidos(mode, pedidos, connections=1)
    try:
        customers = await shop.listar_clientes(ctx, c.ListarClientesRequest())
    finally:
        await shop.close()
    shelf = dial_catalogo(mode, catalogo, connections=1)
    try:
        # Prices, not products: these do not ask Estoque.
        prices = await shelf.consultar_precos(ctx, c.ConsultarPrecosRequest())
    finally:
        await shelf.close()
    population = Population(
        tuple(customer.id for customer in customers.clientes),
        tuple(price.id for price in prices.precos),
    )
    if not population.clientes or not population.produtos:
        msg = "the shop has no customers or no products; make one with python gerador_dados.py"
        raise EmptyShopError(msg)
    return population


def baskets(plan: Plan, count: int = BASKETS) -> list[Basket]:
    """The baskets of a plan, deterministic by its seed, population and items."""
    draw = Random(f"baskets {plan.seed}")
    customers = _Popularity(plan.population.clientes, ZIPF_CUSTOMERS, draw)
    products = _Popularity(plan.population.produtos, ZIPF_PRODUCTS, draw)
    low = min(plan.itens_min, len(plan.population.produtos))
    high = min(plan.itens_max, len(plan.population.produtos))
    return [_basket(draw, customers, products, draw.randint(low, high)) for _ in range(count)]


def _basket(draw: Random, customers: _Popularity, products: _Popularity, lines: int) -> Basket:
    chosen = products.distinct(draw, lines)
    units = draw.choices(UNIDADES[0], UNIDADES[1], k=lines)
    request = c.CriarPedidoRequest(
        cliente_id=customers.one(draw),
        itens=tuple(map(c.ItemPedido, chosen, units)),
        metodo_pagamento=draw.choice(METODOS),
    )
    return Basket(request, msgspec.Raw(msgspec.json.encode(request)))


class _Popularity:
    """A Zipf law over ids: the k-th most popular is drawn in proportion to 1 / k^exponent.

    Which id has which rank is drawn too, so that popularity does not follow the id.
    """

    def __init__(self, ids: Sequence[int], exponent: float, draw: Random) -> None:
        self._ids = list(ids)
        draw.shuffle(self._ids)
        self._weights = list(accumulate(1 / rank**exponent for rank in range(1, len(ids) + 1)))

    def one(self, draw: Random) -> int:
        return draw.choices(self._ids, cum_weights=self._weights)[0]

    def distinct(self, draw: Random, count: int) -> list[int]:
        """`count` different ids, popular ones first drawn more often.

        After a number of vain draws the rest is taken uniformly: only baskets nearly as large as
        the shop come to that.
        """
        chosen: dict[int, Any] = {}
        for _ in range(8 * count):
            chosen[self.one(draw)] = None
            if len(chosen) == count:
                return list(chosen)
        rest = [product for product in self._ids if product not in chosen]
        return [*chosen, *draw.sample(rest, count - len(chosen))]
