"""Sentences with numbers, each a function of statistics with a branch for every outcome.

What is better depends on the figure: more orders a second, fewer milliseconds. A verdict follows
from intervals and never from the middle of one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from loadgen.report.figures.estimates import AtLeast, Verdict, verdict
from loadgen.report.rendering import numerals as nb
from loadgen.study.analysis.statistics import Interval

NO_DIFFERENCE: Final = "nenhuma diferença demonstrada"
# The columns of `versus`.
VERSUS: Final = ("comparação", "primeiro", "segundo", "melhor")
NOT_MEASURED: Final = "não medido neste conjunto"
TOO_FEW: Final = "execuções de menos"
CENSORED: Final = "sem razão: no limite de espera"


@dataclass(frozen=True)
class Measure:
    """A figure: its name in a sentence, its unit, and whether more of it is better."""

    name: str
    unit: str
    more_is_better: bool

    def told(self, value: float | None) -> str:
        """The value with its unit; milliseconds past a thousand become seconds."""
        if value is None:
            return nb.MISSING
        if self.unit == "ms":
            return nb.milliseconds(value)
        return f"{nb.number(value)}{nb.NO_BREAK}{self.unit}"

    def between(self, low: float, high: float) -> str:
        """An interval: the unit once where both ends have the same."""
        first, last = self.told(low), self.told(high)
        number, _, unit = first.partition(nb.NO_BREAK)
        return f"{number if last.endswith(nb.NO_BREAK + unit) else first} a {last}"


THROUGHPUT: Final = Measure("vazão", "pedidos/s", more_is_better=True)
GOODPUT: Final = Measure("goodput", "pedidos/s", more_is_better=True)
MEDIAN: Final = Measure("latência mediana", "ms", more_is_better=False)
TAIL: Final = Measure("latência p99", "ms", more_is_better=False)
CPU: Final = Measure("CPU por pedido", "ms de CPU", more_is_better=False)
BYTES: Final = Measure("tráfego por pedido", "kB", more_is_better=False)
MEMORY: Final = Measure("memória de pico dos serviços", "MB", more_is_better=False)
RECOVERY: Final = Measure("tempo de recuperação", "s", more_is_better=False)
KNEE: Final = Measure("joelho", "pedidos/s", more_is_better=True)


def figure(measure: Measure, value: Interval | None) -> str:
    """A figure with its interval and the number of runs, or why there is none."""
    if value is None:
        return NOT_MEASURED
    if isinstance(value, AtLeast):
        return f"≥{nb.NO_BREAK}{measure.told(value.mean)} (o limite de espera; n = {value.n})"
    if value.low is None or value.high is None:
        return f"{measure.told(value.mean)} (n = {value.n}, sem intervalo)"
    # Under five runs an interval is for the eye: it orders, and is not published as a result.
    few = "" if value.published else ", só indicativo"
    return f"{measure.told(value.mean)} (IC 95{nb.NO_BREAK}%: {measure.between(value.low, value.high)}; n = {value.n}{few})"


def short(measure: Measure, value: Interval | None) -> str:
    """A figure for a table's cell: the middle and the interval, without the unit."""
    if value is None:
        return nb.MISSING
    if isinstance(value, AtLeast):
        return f"≥{nb.NO_BREAK}{nb.number(value.mean)}"
    if value.low is None or value.high is None:
        return f"{nb.number(value.mean)} (n = {value.n})"
    few = "" if value.published else f"; n = {value.n}, só indicativo"
    return f"{nb.number(value.mean)} ({nb.number(value.low)} a {nb.number(value.high)}{few})"


def compared(
    measure: Measure, one: str, first: Interval | None, other: str, second: Interval | None
) -> str:
    """One sentence on two figures: which is better and by how much, or that none is shown."""
    found = verdict(first, second)
    if first is None or second is None:
        absent = nb.listed([name for name, each in ((one, first), (other, second)) if each is None])
        return f"{_capital(measure.name)}: {NOT_MEASURED} para {absent}."
    told = f"{one} {figure(measure, first)}; {other} {figure(measure, second)}"
    if found == "unsure":
        return (
            f"{_capital(measure.name)}: {told}. São execuções de menos para publicar um intervalo, "
            "e por isso nenhuma diferença é afirmada."
        )
    if found == "censored":
        return (
            f"{_capital(measure.name)}: {told}. Do que chega ao limite de espera só se sabe que não "
            "é menos que isso, e nenhuma razão é afirmada."
        )
    if found == "none":
        return f"{_capital(measure.name)}: {NO_DIFFERENCE} ({told}; os intervalos se sobrepõem)."
    high, low = (one, other) if found == "higher" else (other, one)
    better = high if measure.more_is_better else low
    ratio = max(first.mean, second.mean) / max(min(first.mean, second.mean), 1e-12)
    return (
        f"{_capital(measure.name)}: **{better}** melhor, por {times(ratio)} "
        f"({told}; os intervalos não se sobrepõem)."
    )


def winner(
    measure: Measure, one: str, first: Interval | None, other: str, second: Interval | None
) -> str:
    """A cell of a table: the better one's name, or why none is named."""
    found = verdict(first, second)
    words: dict[Verdict, str] = {
        "missing": NOT_MEASURED,
        "unsure": TOO_FEW,
        "censored": CENSORED,
        "none": NO_DIFFERENCE,
    }
    if found in words:
        return words[found]
    assert first is not None
    assert second is not None
    ratio = max(first.mean, second.mean) / max(min(first.mean, second.mean), 1e-12)
    better = one if (found == "higher") == measure.more_is_better else other
    return f"**{better}** ({times(ratio)})"


def versus(
    measure: Measure, one: str, first: Interval | None, other: str, second: Interval | None
) -> tuple[str, str, str, str]:
    """A row of a table of comparisons: the pair, both figures, who is better. See VERSUS."""
    return (
        f"{one} × {other}",
        short(measure, first),
        short(measure, second),
        winner(measure, one, first, other, second),
    )


def times(ratio: float) -> str:
    """A ratio: `2,4×`."""
    return f"{nb.number(ratio)}×"


def tally(verdicts: list[Verdict], one: str, other: str, *, more_is_better: bool) -> str:
    """How many of several comparisons went which way, as one sentence."""
    known = [each for each in verdicts if each not in {"missing", "unsure", "censored"}]
    unsure, censored = verdicts.count("unsure"), verdicts.count("censored")
    left_out = []
    if unsure:
        left_out.append(f"{nb.plural(unsure, 'comparação não tem', 'comparações não têm')} "
                        "execuções bastantes para publicar um intervalo")  # fmt: skip
    if censored:
        left_out.append(f"{nb.plural(censored, 'comparação chega', 'comparações chegam')} "
                        "ao limite de espera")  # fmt: skip
    if not known:
        if left_out:
            return f"{_capital(nb.listed(left_out))}; nenhuma diferença é afirmada."
        return f"A comparação entre {one} e {other} não foi medida neste conjunto."
    first_wins = known.count("higher" if more_is_better else "lower")
    second_wins = known.count("lower" if more_is_better else "higher")
    ties = known.count("none")
    whole = nb.plural(len(known), "ponto comparado", "pontos comparados")
    return (
        f"Em {whole}: {one} melhor em {first_wins}, {other} melhor em {second_wins}, "
        f"{NO_DIFFERENCE} em {ties}"
        f"{'; ' + nb.listed(left_out) if left_out else ''}."
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
