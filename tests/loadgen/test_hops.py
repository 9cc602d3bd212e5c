"""Attribution: from the records of single orders to where a median and a slow one spent their time."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.contratos import SERVICOS
from common.servicos.protocolo.record import Hop, Inside, Wait, figures, server_timing
from loadgen.attribution.bands import Attribution, Way, attribution, lightest
from loadgen.attribution.hops import (
    RESIDUAL,
    SAMPLE_EVERY,
    Hops,
    Parts,
    Sample,
    Samples,
    means,
    told,
)
from loadgen.results.histograms import latency_histogram
from loadgen.results.merge import merge
from loadgen.results.recorder import Recorder
from loadgen.results.result import make_result
from loadgen.workload.outcomes import Outcome
from loadgen.workload.schedule import steady
from tests.support.loadgen_support import FakePedidos, plan, run
from tests.support.told_orders import MS, PAGAMENTOS, PEDIDOS, changed, record, recorded, sample


def parts(order: Sample) -> Parts | None:
    """An order's parts by hop, when it told them."""
    found = told(order)
    return None if found is None else found.hops


def test_as_partes_de_um_pedido() -> None:
    """Each hop's own parts, the way there and back beside them, and what is left by name."""
    hops = parts(sample())
    assert hops == {
        "cliente": {"atraso": 1, "consultas": 0, "ida": 5, "volta": 4, RESIDUAL: 0},
        "pedidos": {
            "fila": 1, "espera": 10, "trabalho": 5, "banco": 12, "commit": 8,
            "ida": 2, "volta": 1, RESIDUAL: 1,
        },
        "pagamentos": {"espera": 4, "trabalho": 6, "gateway": 39.5, RESIDUAL: 0.5},
    }  # fmt: skip


def test_caminho_mais_curto_que_nada_e_residuo() -> None:
    """A hop that seems to begin before it was called shows as unaccounted for, not as speed."""
    early = changed(PAGAMENTOS, arrival=1_027_000)
    hops = parts(sample(record(PEDIDOS, early)))
    assert hops is not None
    assert hops["pedidos"]["ida"] == 0
    assert hops["pedidos"]["volta"] == 6
    assert hops["pedidos"][RESIDUAL] == 1 - 3


def test_residuos_de_sinais_contrarios_nao_se_anulam() -> None:
    """What is missing at a hop is not made up for by a way there that would be negative."""
    early = changed(PAGAMENTOS, arrival=1_029_000)
    found = told(sample(record(PEDIDOS, early)))
    assert found is not None
    assert found.hops["pedidos"][RESIDUAL] == 1 - 1
    assert found.unaccounted_ms == 1 + 1 + 0.5


def test_tentativa_perdida_nao_e_caminho() -> None:
    """What an earlier attempt took is a part of its own: the way is that of the last one."""
    lost = changed(PEDIDOS, length=3_090_000, tentativas=3_000_000)
    hops = parts(sample(record(lost, PAGAMENTOS), ms=3_100))
    assert hops is not None
    assert hops["pedidos"]["tentativas"] == 3_000
    assert (hops["pedidos"]["ida"], hops["pedidos"]["volta"]) == (2, 1)
    assert hops["pedidos"][RESIDUAL] == 1


def test_salto_que_nada_disse_fica_com_quem_esperou() -> None:
    """Where the next hop's answer brought no record, the whole wait is told as such."""
    hops = parts(sample(record(PEDIDOS)))
    assert hops is not None
    assert hops["pedidos"]["proximo"] == 53


@pytest.mark.parametrize(
    "timing",
    [
        "",
        "pedidos",
        "pedidos;dur=abc;em=1;trabalho=1",
        "pedidos;dur=90.000;banco=1.000",
        record(Hop("pedidos", 0, 90_000)),
        record(PEDIDOS, Hop("pagamentos", 0, 50_000)),
        f"{record(PEDIDOS)},[",
        ";;;,,,===",
    ],
)
def test_registro_que_nao_conta_tudo_nao_entra(timing: str) -> None:
    """A record that is plain, broken or lacks a hop's instants is not taken for a full one."""
    assert parts(sample(timing)) is None
    found = attribution([sample(timing)] * 50, 60)
    assert found == Attribution(sampled=60, kept=50, told=0, unanswered=0, median=None, slow=None)


_us = st.integers(0, 10**8)


@given(
    st.lists(st.builds(
        Hop, st.sampled_from(SERVICOS), _us, _us, queue=_us, commit=_us,
        inside=st.builds(Inside, *[_us] * 7),
    ), min_size=1, max_size=5, unique_by=lambda hop: hop.service),
    st.lists(st.integers(0, 10**12), min_size=4, max_size=4).map(sorted),
)  # fmt: skip
def test_as_partes_somam_a_latencia(hops: list[Hop], instants: list[int]) -> None:
    """Whatever the records claim, parts and residual sum to the latency that the client saw."""
    order = Sample(*instants, record(*hops))
    found = parts(order)
    assert found is not None
    whole = sum(sum(values.values()) for values in found.values())
    last = hops[-1]
    assert last.inside is not None
    if last.inside.proximo == 0:
        assert "proximo" not in found[last.service]
    assert whole == pytest.approx((order.end_ns - order.intended_ns) / MS, abs=1e-3)
    assert all(
        value >= 0 for values in found.values() for part, value in values.items()
        if part in {"ida", "volta", "banco", "commit"}
    )  # fmt: skip


EARLIER = (
    "pedidos;dur=90.000;em=1006.000;espera=10.000;trabalho=5.000;fila=1.000;banco=20.000"
    ";commit=8.000;proximo=53.000;saida=1030.000, "
    "pagamentos;dur=50.000;em=1032.000;espera=4.000;trabalho=6.000;gateway=39.500"
)


def test_resultados_de_antes_contam_o_mesmo() -> None:
    """A result of version 0.1.0 keeps the text of `Server-Timing`; its orders read the same."""
    assert parts(sample(EARLIER)) == parts(sample())
    plain = sample(server_timing((Hop("fiscal", 0, 9_000, (Wait("b", 0, 2_000),)),)))
    assert [figures(hop) for hop in plain.hops()] == [{"dur": 9.0, "banco": 2.0, "commit": 0.0}]


@given(st.text(max_size=200) | st.text('pedios;,=dur1.[]"-e9 ', max_size=60))
def test_nenhum_texto_quebra_a_leitura(text: str) -> None:
    """A record may come from anywhere: a text that is none tells nothing, and is no error."""
    assert told(sample(text)) is None


def test_mediano_e_lento_sao_faixas_de_pedidos_inteiros() -> None:
    """The median and the slow order are averages of whole orders between two percentiles."""
    orders = [sample(ms=100 + n) for n in range(1_000)]
    found = attribution(orders[::-1], 5_000)
    assert found is not None
    assert found.median is not None
    assert found.slow is not None
    assert (found.sampled, found.told) == (5_000, 1_000)
    assert (found.median.n, found.slow.n) == (100, 10)
    assert found.median.latency_ms == 100 + 499.5
    assert found.slow.latency_ms == 100 + 989.5
    for where in (found.median, found.slow):
        assert sum(where.by_part(found.ways).values()) == pytest.approx(where.latency_ms)
        assert where.residual_ms == 1.5
        assert where.residual_share == pytest.approx(1.5 / where.latency_ms, abs=1e-6)


@pytest.mark.parametrize(
    ("told", "median", "slow"),
    [
        (19, None, None),
        (20, (25, 75), None),
        (40, (37.5, 62.5), None),
        (99, (44.25, 55.75), None),
        (100, (45, 55), (90, 100)),
        (500, (45, 55), (98, 100)),
        (1_000, (45, 55), (98.5, 99.5)),
    ],
)
def test_faixa_tem_dez_pedidos_ou_nao_ha(
    told: int, median: tuple[float, float] | None, slow: tuple[float, float] | None
) -> None:
    """A band holds ten orders at least: with few it is wider, and says so, or there is none."""
    found = attribution([sample()] * told, told)
    assert found is not None
    for where, edges in ((found.median, median), (found.slow, slow)):
        assert (None if where is None else where.percentiles) == edges
        assert where is None or where.n >= 10


def test_mediana_e_a_de_todos_tambem_dos_sem_resposta() -> None:
    """Where most orders got no answer the median one is such an order, not a survivor's."""
    lost = sample().lost(30_000 * MS)
    assert (lost.latency_ms, lost.timing) == (30_001, "")
    answered = [sample(ms=100 + n) for n in range(100)]
    found = attribution([*answered, *[lost] * 300], 400)
    assert found is not None
    assert (found.kept, found.told, found.unanswered) == (400, 100, 300)
    assert (found.median, found.median_unanswered) == (None, True)
    assert (found.slow, found.slow_unanswered) == (None, True)
    some = attribution([*answered, *[lost] * 25], 125)
    assert some is not None
    assert some.median is not None
    assert some.median.latency_ms > 100 + 56
    assert not some.median_unanswered
    assert some.slow_unanswered


def test_gravador_guarda_tambem_a_amostra_que_nao_teve_resposta() -> None:
    """A sampled order that timed out is kept at its timeout; one that ended in an error has no time."""
    recorder = Recorder(0, 0.0, 30.0)
    for outcome, timing in (
        (Outcome("enviado"), record(PEDIDOS)), (Outcome("enviado"), ""), (Outcome("enviado"), None),
        (Outcome("erro", "prazo_esgotado"), ""), (Outcome("erro", "interno"), ""),
    ):  # fmt: skip
        recorder.ended(0, 1 * MS, 5 * MS, outcome, timing)
    kept = recorder.recording(latency_histogram(30.0))
    assert kept.sampled == 3
    assert [(each.latency_ms, each.answered) for each in kept.samples] == [
        (5, True), (5, True), (30_001, False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "wait_s", "workers", "every"),
    [
        ({"checkouts": 50}, 1.0, None, 1),
        ({"checkouts": 100_000}, 1.0, None, SAMPLE_EVERY),
        ({"duration_s": 12.0, "warmup_s": 2.0}, 1.0, None, 1),
        ({"duration_s": 12.0, "warmup_s": 2.0, "concurrency": 400}, 1.0, None, 10),
        ({"duration_s": 12.0, "warmup_s": 2.0, "concurrency": 400}, 1.0, 10, 1),
        ({"duration_s": 12.0, "warmup_s": 2.0}, 0.0, None, 10),
        ({"schedule": steady(100.0, 10.0), "concurrency": 0}, 1.0, None, 10),
    ],
)
def test_poucos_pedidos_sao_amostrados_mais_vezes(
    changes: dict[str, Any], wait_s: float, workers: int | None, every: int
) -> None:
    """Where few orders are to be expected more of them are sampled, so that a band has enough."""
    asked = msgspec.structs.replace(plan(checkouts=None), **changes)
    assert asked.well_sampled(wait_s, workers).sample_every == every


def _turned(there: int, back: int, sums: int) -> Sample:
    """An order of two hops with so many milliseconds on top of the ways to Pagamentos and back."""
    pedidos = changed(PEDIDOS, length=(90 + sums) * 1_000, proximo=(53 + there + back) * 1_000)
    pagamentos = changed(PAGAMENTOS, arrival=(1_032 + there) * 1_000)
    return sample(record(pedidos, pagamentos), ms=100 + sums)


def test_o_que_passa_do_caminho_leve_e_espera_da_vez() -> None:
    """Of a way what it takes when few wait is transport; the rest is the receiver's turn."""
    light = [_turned(0, 0, 0) for _ in range(20)]
    heavy = [_turned(30, 7, 37) for _ in range(380)]
    found = attribution([*light, *heavy], 400)
    assert found is not None
    assert found.median is not None
    assert found.ways == {"cliente": Way(5, 4), "pedidos": Way(2 + 30, 1 + 7)}
    assert found.median.by_part(found.ways).get("vez") == 0
    base = attribution(light, 20)
    assert base is not None
    ways = lightest([found.ways, base.ways])
    assert ways == {"cliente": Way(5, 4), "pedidos": Way(2, 1)}
    shown = found.median.shown(ways)
    assert {hop: parts.get("vez") for hop, parts in shown.items()} == {
        "cliente": 0, "pedidos": 7, "pagamentos": 30,
    }  # fmt: skip
    assert [shown[hop]["caminho"] for hop in ("cliente", "pedidos")] == [9, 3]
    assert not {"ida", "volta"} & {part for parts in shown.values() for part in parts}
    assert found.median.by_part(ways)["residuo"] == found.median.by_part({})["residuo"]
    assert sum(found.median.by_part(ways).values()) == pytest.approx(found.median.latency_ms)


def test_caminho_de_so_alguns_pedidos_conta_so_por_eles() -> None:
    """Where half of the orders went no further, their average has half of the way."""
    short = [sample(record(changed(PEDIDOS, gateway=53_000, proximo=0)))] * 50
    found = attribution([*short, *[_turned(10, 0, 10)] * 50], 100)
    assert found is not None
    assert found.median is not None
    assert found.median.calls == {"cliente": 10, "pedidos": 5, "pagamentos": 0}
    shown = found.median.shown({"pedidos": Way(2, 1)})
    assert shown["pedidos"]["caminho"] == pytest.approx(1.5)
    assert shown["pagamentos"]["vez"] == pytest.approx(5)


def test_reservatorio_tem_limite_e_e_justo() -> None:
    """However many orders are noted, so many are kept, the early as likely as the late; by seed."""
    kept = []
    for seed in range(40):
        samples = Samples(seed, limit=50)
        for n in range(1_000):
            samples.note(sample(ms=n))
        assert (len(samples.kept), samples.seen) == (50, 1_000)
        kept += [each.end_ns // MS - 1_000 for each in samples.kept]
    assert 450 < sum(kept) / len(kept) < 550
    again = Samples(39, limit=50)
    for n in range(1_000):
        again.note(sample(ms=n))
    assert [each.end_ns // MS - 1_000 for each in again.kept] == kept[-50:]


def test_juntar_processos_guarda_todas_as_amostras() -> None:
    """The samples of several processes are those of one, for attribution as for means."""
    merged = merge([recorded(range(100, 160)), recorded(range(160, 220))])
    assert merged.sampled == len(merged.samples) == 120
    alone = recorded(range(100, 220))
    assert attribution(merged.samples, 120) == attribution(alone.samples, 120)
    assert merged.hops == alone.hops
    assert "em" not in means(merged.hops)["pedidos"]


async def test_so_um_em_tantos_e_perguntado() -> None:
    """One order in `sample_every` asks for a full record; with 0 none does."""
    asked = await run(plan(checkouts=20, sample_every=8), FakePedidos())
    assert asked.sampled == 3
    assert asked.hops["pedidos"]["n"] == 3
    none = await run(plan(checkouts=20, sample_every=0), FakePedidos())
    assert (none.sampled, none.hops) == (0, {})
    assert make_result(plan(), none, {}).attribution is None


def test_instantes_nao_entram_nas_medias() -> None:
    """A mean of instants would say nothing: only durations are averaged."""
    hops = Hops()
    hops.note([PEDIDOS])
    assert means(hops.sums())["pedidos"].keys().isdisjoint({"em", "saida"})
