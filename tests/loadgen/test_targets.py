"""Who buys what: real ids, skewed, the same for the same seed."""

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

from common.shop.generator import Opcoes, gerar
from loadgen.attribution.hops import SAMPLE_EVERY
from loadgen.testbed.chains import LOJA_PADRAO
from loadgen.workload.plan import Population
from loadgen.workload.targets import BASKETS, baskets
from tests.support.loadgen_support import POPULATION, plan


def test_mesma_semente_mesmas_compras() -> None:
    """The baskets follow from the seed, and another seed gives others."""
    assert baskets(plan(seed=7), 200) == baskets(plan(seed=7), 200)
    assert baskets(plan(seed=7), 200) != baskets(plan(seed=8), 200)


def test_popularidade_e_desigual() -> None:
    """A few products sell most, and none is left out; customers differ too."""
    bought = Counter(item.produto_id for basket in baskets(plan()) for item in basket.request.itens)
    assert set(bought) == set(POPULATION.produtos)
    best, *_, worst = (count for _, count in bought.most_common())
    assert best > 5 * worst
    # Popularity does not simply follow the id.
    assert [product for product, _ in bought.most_common()] != sorted(bought)
    buyers = Counter(basket.request.cliente_id for basket in baskets(plan()))
    assert set(buyers) == set(POPULATION.clientes)
    assert buyers.most_common()[0][1] > 2 * buyers.most_common()[-1][1]


def test_cestas_respeitam_os_limites_e_nao_repetem_produto() -> None:
    """A basket has as many lines as asked, each of another product."""
    for basket in baskets(plan(itens_min=2, itens_max=4), 500):
        chosen = [item.produto_id for item in basket.request.itens]
        assert 2 <= len(chosen) <= 4
        assert len(set(chosen)) == len(chosen)


def test_loja_menor_do_que_a_cesta_e_comprada_inteira() -> None:
    """A shop with fewer products than lines asked sells one of each."""
    small = plan(population=Population((1,), (10, 20, 30)), itens_min=5, itens_max=50)
    for basket in baskets(small, 50):
        assert {item.produto_id for item in basket.request.itens} == {10, 20, 30}


def test_a_amostra_ve_todas_as_cestas() -> None:
    """One order in sixteen, however many processes share them, comes from every basket in turn."""
    for processes in (1, 2, 3, 4):
        step = SAMPLE_EVERY * processes
        seen = {number % BASKETS for number in range(0, step * BASKETS, step)}
        assert len(seen) == BASKETS


def test_a_loja_das_cadeias_e_a_que_o_gerador_faz(tmp_path: Path) -> None:
    """Chains without a shop of their own are asked for the ids that the default shop has."""
    gerar(tmp_path / "loja.db", Opcoes())
    with closing(sqlite3.connect(tmp_path / "loja.db")) as shop:
        for table, ids in (("clientes", LOJA_PADRAO.clientes), ("produtos", LOJA_PADRAO.produtos)):
            rows = shop.execute(f"SELECT id FROM {table} ORDER BY id")
            assert ids == tuple(identifier for (identifier,) in rows)
