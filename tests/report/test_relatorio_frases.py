"""The report's words: every branch of a sentence, numbers as Brazilians write them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.attribution.bands import Way, Where
from loadgen.report.figures.estimates import AtLeast
from loadgen.report.rendering import names, numerals
from loadgen.report.sections import analysis, hypothesis, ladders, little, opening, scaling
from loadgen.report.sections.faults import recovery_sentence
from loadgen.report.sections.strikes import Struck
from loadgen.report.sections.waterfalls import Told, growth_sentence, residual_sentence
from loadgen.report.words import sentences as say
from loadgen.study.analysis.statistics import Interval, UslFit, recovery
from loadgen.study.design.knee import Knee
from loadgen.study.design.presets import PRESETS
from loadgen.study.execution.campaign import DURABILITY
from loadgen.study.records.plan import NO_WAIT, Fault

LOW = Interval(5, 10.0, 9.0, 11.0)
HIGH = Interval(5, 20.0, 19.0, 21.0)
WIDE = Interval(5, 15.0, 8.0, 30.0)
FEW = Interval(2, 10.0, None, None)
SOME = Interval(3, 10.0, 9.0, 11.0)
LIMIT = AtLeast(5, 60_000.0, None, None)


def spaced(text: str) -> str:
    """The text with plain spaces, to be compared."""
    return text.replace(numerals.NO_BREAK, " ")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (1234567, "1.234.567"), (1234.5, "1.234"), (123.4, "123"), (12.34, "12,3"),
        (9.996, "10,0"), (0.01234, "0,0123"), (2.95e-9, "2,95 × 10⁻⁹"), (None, "–"), (float("nan"), "–"),
    ],
)  # fmt: skip
def test_numeros_tem_tres_algarismos(value: float | None, text: str) -> None:
    """Three significant digits, a decimal comma, points between thousands."""
    assert spaced(numerals.number(value)) == text


@given(st.floats(min_value=1e-3, max_value=1e9))
def test_numero_escrito_e_o_numero(value: float) -> None:
    """What is written is within half of its third digit of what was measured."""
    written = float(numerals.number(value).replace(".", "").replace(",", "."))
    assert written == pytest.approx(value, rel=0.0051)


def test_unidades_e_datas() -> None:
    """Milliseconds past a thousand are seconds; a date is in words; what was chosen keeps its digits."""
    assert spaced(numerals.milliseconds(999)) == "999 ms"
    assert spaced(numerals.milliseconds(1500)) == "1,50 s"
    assert spaced(numerals.percent(0.0512)) == "5,12 %"
    assert spaced(numerals.bound(0.05)) == "5 %"
    assert numerals.plain(0.5) == "0,5"
    assert numerals.plain(200) == "200"
    assert numerals.date("2026-01-02T03:04:05+00:00") == "2 de janeiro de 2026"
    assert numerals.date("ontem") == "ontem"
    assert numerals.listed(["a", "b", "c"]) == "a, b e c"


@pytest.mark.parametrize(
    ("measure", "first", "second", "sentence", "cell"),
    [
        (say.THROUGHPUT, LOW, HIGH, "**B** melhor, por 2,00×", "**B** (2,00×)"),
        (say.THROUGHPUT, HIGH, LOW, "**A** melhor, por 2,00×", "**A** (2,00×)"),
        (say.TAIL, LOW, HIGH, "**A** melhor, por 2,00×", "**A** (2,00×)"),
        (say.TAIL, HIGH, LOW, "**B** melhor, por 2,00×", "**B** (2,00×)"),
        (say.TAIL, WIDE, LOW, "nenhuma diferença demonstrada", "nenhuma diferença demonstrada"),
        (say.TAIL, FEW, HIGH, "nenhuma diferença é afirmada", "execuções de menos"),
        (say.TAIL, SOME, HIGH, "nenhuma diferença é afirmada", "execuções de menos"),
        (say.TAIL, LIMIT, HIGH, "nenhuma razão é afirmada", "sem razão: no limite de espera"),
        (say.TAIL, None, HIGH, "não medido neste conjunto para A", "não medido neste conjunto"),
        (say.TAIL, None, None, "não medido neste conjunto para A e B", "não medido neste conjunto"),
    ],
)  # fmt: skip
def test_comparacao_segue_os_intervalos(
    measure: say.Measure, first: Interval | None, second: Interval | None, sentence: str, cell: str
) -> None:
    """A better, B better, no difference shown, too few runs, not measured: each has its words."""
    assert sentence in spaced(say.compared(measure, "A", first, "B", second))
    assert say.winner(measure, "A", first, "B", second) == cell
    assert say.versus(measure, "A", first, "B", second)[3] == cell


@given(st.floats(0.1, 1e4), st.floats(0.1, 1e4), st.floats(1.01, 3), st.floats(1.01, 3))
def test_ninguem_e_melhor_com_intervalos_sobrepostos(
    one: float, other: float, wide: float, wider: float
) -> None:
    """A name is in bold exactly when the intervals do not overlap, and swapping changes nothing."""
    first = Interval(5, one, one / wide, one * wide)
    second = Interval(5, other, other / wider, other * wider)
    cell = say.winner(say.THROUGHPUT, "A", first, "B", second)
    apart = one / wide > other * wider or other / wider > one * wide
    assert ("**" in cell) == apart
    assert cell == say.winner(say.THROUGHPUT, "B", second, "A", first)


def test_intervalo_de_poucas_execucoes_e_indicativo() -> None:
    """Five runs make an interval, three one for the eye, two none."""
    assert (
        spaced(say.figure(say.CPU, LOW)) == "10,0 ms de CPU (IC 95 %: 9,00 a 11,0 ms de CPU; n = 5)"
    )
    assert "n = 3, só indicativo" in say.figure(say.CPU, SOME)
    assert "n = 3, só indicativo" in say.short(say.CPU, SOME)
    assert "indicativo" not in say.short(say.CPU, LOW)
    assert "n = 2, sem intervalo" in say.figure(say.CPU, FEW)
    assert say.figure(say.CPU, None) == say.NOT_MEASURED


def test_contagem_de_vereditos() -> None:
    """Wins are counted by what is better, and only where intervals allow a verdict."""
    verdicts: list[say.Verdict] = ["higher", "lower", "lower", "none", "missing", "unsure"]
    more = say.tally(verdicts, "A", "B", more_is_better=True)
    assert "Em 4 pontos comparados: A melhor em 1, B melhor em 2" in more
    assert "A melhor em 2, B melhor em 1" in say.tally(verdicts, "A", "B", more_is_better=False)
    assert "não foi medida" in say.tally(["missing"], "A", "B", more_is_better=True)
    assert "1 comparação não tem execuções bastantes" in more
    assert "nenhuma diferença é afirmada" in say.tally(["unsure"], "A", "B", more_is_better=True)
    assert "chega ao limite de espera" in say.tally(["censored"], "A", "B", more_is_better=True)


def test_latencia_no_limite_e_um_minimo() -> None:
    """A percentile at the timeout reads as at least that, and no ratio is made of it."""
    assert spaced(say.figure(say.TAIL, LIMIT)).startswith("≥ 60,0 s (o limite de espera")
    assert spaced(say.short(say.TAIL, LIMIT)) == "≥ 60.000"


def climb(**changes: Any) -> Knee:
    values: dict[str, Any] = {
        "rate_per_s": 300.0, "runs": 5, "beyond_per_s": None, "missed": 0, "beyond_runs": 0,
        "doubted_per_s": None,
    }  # fmt: skip
    return Knee(**(values | changes))


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (None, "não medido"),
        (climb(rate_per_s=None, runs=0, beyond_per_s=20.0, missed=5, beyond_runs=5),
         "o degrau mais baixo já não se manteve em todas as execuções; a 20,0 pedidos/s não se manteve em 5 de 5"),
        (climb(rate_per_s=None, runs=0, doubted_per_s=20.0), "joelho desconhecido"),
        (climb(), "o joelho fica acima disso"),
        (climb(doubted_per_s=345.0), "a 345 pedidos/s nenhuma execução é válida"),
        (climb(beyond_per_s=345.0, missed=1, beyond_runs=5),
         "joelho entre 300 pedidos/s (mantido em 5 de 5 execuções) e 345 pedidos/s, onde não se manteve em"),
    ],
)  # fmt: skip
def test_frase_do_joelho(found: Knee | None, words: str) -> None:
    """Between two rungs, above all, below all, doubted, or not looked for; with how many runs."""
    assert words in spaced(ladders.knee_sentence("A", found))
    doubted = spaced(ladders.knee_sentence("A", found, ("loop lag",)))
    assert "(loop lag): o limite ali é do gerador" in doubted


def struck(**changes: Any) -> Struck:
    fault = Fault(service="fiscal", kind="slow", at_s=1, for_s=1, delay_s=1)
    values: dict[str, Any] = {
        "fault": fault, "arm": "grpc", "name": "A", "runs": 5, "before_per_s": HIGH,
        "during_per_s": (20.0,) * 5, "before_p99": LOW, "after_p99": LOW, "recovery": (1.0,),
        "upstream": {},
    }  # fmt: skip
    return Struck(**(values | changes))


def test_frase_de_recuperacao() -> None:
    """In every run a time, in some no time to compare, in none at all."""
    every = recovery_sentence(struck(recovery=(1.0, 2.0, 3.0), runs=3))
    assert "recuperação em" in every
    assert "não voltaram" not in every
    some = recovery_sentence(struck(recovery=(1.0, None, 3.0), runs=3))
    assert "em 1 execução de 3 vazão e p99 não voltaram" in some
    assert "não há tempo de recuperação a comparar" in some
    assert "em nenhuma das 2 execuções" in recovery_sentence(struck(recovery=(None, None), runs=2))


def returned(*times: float | None) -> ladders.Returned:
    return ladders.Returned("A", times, recovery(times))


def test_quem_nao_se_recupera_nao_ganha() -> None:
    """An arm that recovered in one run of five is not faster than one that did in all."""
    survivor, steady = returned(0.1, None, None, None, None), returned(*[3.0] * 5)
    assert ladders.recovery_row(survivor, steady)[3] == "sem veredito: 4 execuções não voltaram"
    assert ladders.recovery_row(returned(*[0.5] * 5), steady)[3] == "**A** (6,00×)"
    assert "em 4 de 5 execuções não se recuperou" in ladders.recovery_sentence(survivor)
    assert "em nenhuma das 2 execuções" in ladders.recovery_sentence(returned(None, None))
    # A cell of a tenth of a second tells nothing apart within itself.
    assert ladders.recovery_row(returned(*[0.1] * 5), returned(*[0.12] * 5))[3] == say.NO_DIFFERENCE


@pytest.mark.parametrize(
    ("rates", "tails", "answer"),
    [
        ((LOW, LOW), (LOW, HIGH), "yes"),
        ((HIGH, LOW), (LOW, HIGH), "yes"),
        ((LOW, HIGH), (LOW, HIGH), "no"),
        ((LOW, LOW), (LOW, LOW), "open"),
        ((LOW, FEW), (LOW, HIGH), "open"),
        ((LOW, None), (LOW, HIGH), "missing"),
    ],
)
def test_gargalo(
    rates: tuple[Interval, Interval], tails: tuple[Interval, Interval], answer: str
) -> None:
    """A bottleneck is a rate that is not shown to rise under a tail that is."""
    assert hypothesis.saturated(rates[0], rates[1], tails[0], tails[1]) == answer


@pytest.mark.parametrize(
    ("after", "answer"),
    [
        (Interval(5, 1_500.0, 1_400.0, 1_600.0), "yes"),
        (Interval(5, 900.0, 800.0, 1_000.0), "no"),
        (Interval(5, 1_010.0, 900.0, 1_200.0), "open"),
        (Interval(3, 1_500.0, 1_400.0, 1_600.0), "open"),
        (None, "missing"),
    ],
)
def test_dano_na_latencia(after: Interval | None, answer: str) -> None:
    """The tail rises by more than the second of delay explains, by no more, or one cannot tell."""
    assert hypothesis.spread(struck(after_p99=after)) == answer


@pytest.mark.parametrize(
    ("during", "before", "answer"),
    [
        ((10.0, 10.1, 9.9, 10.0, 10.0), HIGH, "yes"),
        ((20.0, 20.1, 19.9, 20.0, 20.0), HIGH, "no"),
        ((18.0, 22.0, 15.0, 21.0, 19.0), HIGH, "open"),
        ((0.0, 0.0, 0.0, 0.0, 0.0), HIGH, "yes"),
        ((0.0, 5.0, 0.0, 1.0, 0.0), HIGH, "open"),
        ((10.0, 10.0, 10.0), SOME, "open"),
        ((10.0,), None, "missing"),
    ],
)
def test_dano_no_goodput(during: tuple[float, ...], before: Interval | None, answer: str) -> None:
    """Fewer orders end during the fault, as many as before, or one cannot tell."""
    assert hypothesis.starved(struck(during_per_s=during, before_per_s=before)) == answer


@pytest.mark.parametrize(
    ("median", "answer"),
    [(LOW, "yes"), (Interval(5, 150.0, 140.0, 160.0), "no"), (Interval(5, 99.0, 80.0, 120.0), "open"),
     (SOME, "open"), (LIMIT, "no"), (None, "missing")],
)  # fmt: skip
def test_latencia_baixa(median: Interval | None, answer: str) -> None:
    """Low is an amount, which a median may exceed; not less than under load, which it always is."""
    assert hypothesis.at_most(median, hypothesis.LOW_MS) == answer


@pytest.mark.parametrize(
    ("threads", "loop", "words"),
    [(HIGH, LOW, "crescem mais"), (LOW, HIGH, "crescem menos"), (LOW, LOW, "nenhuma diferença"),
     (SOME, HIGH, "execuções de menos"), (None, HIGH, "não medido")],
)  # fmt: skip
def test_acoplamento_pelas_medidas(
    threads: Interval | None, loop: Interval | None, words: str
) -> None:
    """Whether threads couple more is read from the calls in front, and may come out either way."""
    both = [struck(upstream={"pedidos": loop}),
            struck(arm="grpc-threads", name="B", upstream={"pedidos": threads})]  # fmt: skip
    [told] = analysis.coupled(both)
    assert words in told


def finding(answer: hypothesis.Answer) -> hypothesis.Finding:
    return hypothesis.Finding("grpc", "sem espera de pagamento", answer, "")


def test_veredito_da_hipotese() -> None:
    """Supported, contradicted, in part, not measured: one verdict over all arms."""
    assert "sustentam a afirmação" in hypothesis.overall([finding("yes"), finding("missing")]).text
    assert "contrariam a afirmação" in hypothesis.overall([finding("no"), finding("no")]).text
    mixed = hypothesis.overall([finding("yes"), finding("no"), finding("open")]).text
    assert "respondem em parte" in mixed
    assert "sustentam em 1" in mixed
    assert "contrariam em 1" in mixed
    assert "não decidem em 1" in mixed
    assert "no único caso" in hypothesis.overall([finding("open")]).text
    assert hypothesis.overall([finding("missing")]).text == "**Não medido neste conjunto.**"
    assert hypothesis.overall([]).tone == "note"


def where(latency: float, residual: float, **parts: float) -> Where:
    return Where((45, 55), 10, latency, {"pedidos": parts}, residual * latency, residual)


def test_frases_da_cascata() -> None:
    """The largest part is named, a residual out of bounds is said, growth names what grew."""
    light, heavy = where(10, 0.01, trabalho=4, espera=6), where(100, 0.2, trabalho=8, espera=92)
    told = spaced(residual_sentence("grpc", Told(light, None, 1, {})))
    assert "a maior parte é espera do laço ou da thread, 6,00 ms (60,0 %)" in told
    assert "dentro do limite de 5 %" in told
    assert "Esperas para rodar, do laço ou da thread e da vez: 6,00 ms (60,0 %)" in told
    queued = where(100, 0.0, trabalho=8, espera=2, ida=80, volta=10)
    turned = spaced(residual_sentence("grpc", Told(queued, None, 1, {"pedidos": Way(3, 4)})))
    assert "a maior parte é espera da vez, 83,0 ms (83,0 %)" in turned
    assert "da vez: 85,0 ms (85,0 %)" in turned
    assert "**fora** do limite" in spaced(residual_sentence("grpc", Told(heavy, None, 1, {})))
    grown = spaced(growth_sentence("grpc", light, heavy, {}))
    assert (
        "crescem sobretudo espera do laço ou da thread 86,0 ms e trabalho próprio 4,00 ms" in grown
    )
    assert "não ficou mais lento" in growth_sentence("grpc", heavy, light, {})


def test_frase_de_little() -> None:
    """All within the bound, or how many are not."""
    assert "em todas as 2 medidas" in little.sentence([0.01, 0.02], 0)
    assert "a única medida" in little.sentence([0.01], 0)
    assert spaced(little.sentence([0.01, 0.2], 0)).startswith("Em 1 de 2 medidas")
    assert "Em 3 medidas a janela é curta" in little.sentence([0.01], 3)
    assert little.sentence([], 3).startswith("Nenhuma medida pode ser julgada. Em 3 medidas")


RISING = {1.0: LOW, 10.0: LOW, 100.0: HIGH}
FLAT = {1.0: LOW, 10.0: HIGH, 100.0: HIGH}
FALLING = {1.0: LOW, 10.0: HIGH, 100.0: LOW}
SURE, UNSURE, NONE = (
    Interval(5, 1e-2, 5e-3, 2e-2),
    Interval(5, 1e-2, 0, 2e-2),
    Interval(5, 0, 0, 0),
)


@pytest.mark.parametrize(("measured", "beta", "worst", "words"), [
    (FALLING, SURE, 0.01, ("máximo perto de 9 clientes, e queda depois", "no máximo 1,00 %")),
    (FALLING, SURE, 0.4, ("da lei não se tira um máximo", "não descreve bem")),
    (FALLING, UNSURE, 0.01, ("mais alta com 10 clientes; da lei não se tira",)),
    (FLAT, SURE, 0.01, ("patamar",)),
    (FLAT, NONE, 0.01, ("patamar",)),
    (RISING, SURE, 0.01, ("ainda sobe até a maior carga medida (100 clientes)",)),
    (FALLING | {100.0: SOME}, SURE, 0.01, ("execuções de menos",)),
])  # fmt: skip
def test_frase_do_ajuste(
    measured: dict[float, Interval], beta: Interval, worst: float, words: tuple[str, ...]
) -> None:
    """A fall is said only where law and measure both show it; else it rises, stays or is not known."""
    fit = UslFit(gamma=LOW, alpha=Interval(5, 0.1, 0.1, 0.1), beta=beta, loads=(1, 10, 100),
                 worst=worst)  # fmt: skip
    told = spaced(scaling.peak_sentence(scaling.Fitted("A", 0, NO_WAIT, fit, measured)))
    assert all(each in told for each in words)
    assert ("queda" in told) == (words[0].endswith("queda depois"))


def test_abertura_sem_auditoria() -> None:
    """Runs that nobody audited are not called correct."""
    from loadgen.report.figures.collection import Gathered

    empty = Gathered((), (), ())
    assert "Correção desconhecida" in opening.correctness(empty).text


def test_o_que_o_estudo_diz_de_si_esta_em_portugues() -> None:
    """Durability and each preset's limits have words in the report's language; others are quoted."""
    assert "“" not in names.durability(DURABILITY)
    assert all(limit in names.LIMITS for preset in PRESETS.values() for limit in preset.limits)
    assert names.limit("no knee") == "nas suas palavras, “no knee”"
    assert names.durability("none") == "“none”"
