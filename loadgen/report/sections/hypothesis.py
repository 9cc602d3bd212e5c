"""The course's hypothesis, claim by claim: what the data say of it in each arm.

The claims: a synchronous chain has low latency at low volume; under high load it meets bottlenecks;
its services are coupled, so that one slow service hurts the whole chain. A claim holds in an arm,
or does not, or is undecided where intervals overlap, or was not measured; never by a middle alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from loadgen.report.figures import estimates
from loadgen.report.figures.collection import Gathered, Group
from loadgen.report.figures.estimates import AtLeast, estimate, over, verdict
from loadgen.report.rendering import names
from loadgen.report.rendering.document import Block, Callout, Heading, Paragraph, Table
from loadgen.report.rendering.numerals import bound, count, milliseconds, plural
from loadgen.report.sections.faults import during
from loadgen.report.sections.loads import arm_label, by_arm, main_curves
from loadgen.report.sections.strikes import Struck, every_struck, fault_name
from loadgen.report.words import sentences as say
from loadgen.study.analysis.statistics import Interval

Answer = Literal["yes", "no", "open", "missing"]
ANSWERS: Final[dict[Answer, str]] = {
    "yes": "os dados sustentam",
    "no": "os dados contrariam",
    "open": "os dados não decidem",
    "missing": "não medido neste conjunto",
}
# Milliseconds beside the simulated payment. What takes no longer feels instantaneous to a person
# (J. Nielsen, Usability Engineering, 1993, chapter 5).
LOW_MS: Final = 100.0
# Of the rate before a fault. What keeps so much of it, with the whole interval, has not suffered.
KEPT_MIN: Final = 0.95


@dataclass(frozen=True)
class Finding:
    """What one arm says of one claim, and by which figures."""

    name: str
    where: str
    answer: Answer
    evidence: str


def section(gathered: Gathered) -> list[Block]:
    """The whole section."""
    return [
        Heading(2, "A hipótese do curso"),
        Paragraph(
            "“A arquitetura RPC síncrona tenha menor latência inicial para baixo volume, mas sofra com "
            "gargalos e acoplamento sob alta carga (um serviço lento impacta toda a cadeia).” São três "
            "afirmações, e cada uma tem aqui um critério que poderia reprová-la. A comparação com uma "
            "arquitetura assíncrona, que a palavra “menor” pede, não foi medida: o que se testa é a "
            "latência da cadeia síncrona contra ela mesma, com pouca e com muita carga."
        ),
        *claim("A latência é baixa em volume baixo",
               "Critério: na menor carga medida a latência mediana, fora a espera simulada do pagamento, é "
               f"de no máximo {milliseconds(LOW_MS)}, o que uma pessoa sente como imediato. Com o intervalo "
               "todo acima disso os dados contrariam a afirmação.",
               low_latency(gathered)),
        *claim("Sob carga alta há um gargalo: a vazão para de crescer",
               "Critério: da penúltima para a maior carga medida a vazão não sobe, e a latência p99 sobe.",
               bottleneck(gathered)),
        *claim("Um serviço lento prejudica toda a cadeia",
               "Dois critérios, para cada falha. **Latência**: desde a falha, o p99 na ponta sobe mais do "
               "que a própria falha explica (o atraso por chamada, ou o tempo fora do ar); se sobe no máximo "
               "isso, o dano não se espalha. **Goodput**: durante a falha terminam menos pedidos por segundo "
               f"que antes; se o intervalo todo fica em {bound(KEPT_MIN)} ou mais, não. Que mais chamadas fiquem em andamento à frente não é critério: com a mesma taxa de "
               "chegada, a lei de Little o impõe.",
               coupling(gathered)),
    ]  # fmt: skip


def claim(title: str, criterion: str, findings: list[Finding]) -> list[Block]:
    """One claim: its criterion, the verdict over all arms, and the evidence of each."""
    blocks: list[Block] = [Heading(3, title), Paragraph(criterion), overall(findings)]
    if findings:
        rows = tuple(
            (each.name, each.where, ANSWERS[each.answer], each.evidence) for each in findings
        )
        blocks.append(Table(("braço", "onde", "resposta", "figuras"), rows, words=4))
    return blocks


def overall(findings: list[Finding]) -> Callout:
    """The verdict over all arms: where the data support the claim, and where they do not."""
    known = [each for each in findings if each.answer != "missing"]
    if not known:
        return Callout("note", f"**{_capital(ANSWERS['missing'])}.**")
    of = {
        answer: [each for each in known if each.answer == answer]
        for answer in ("yes", "no", "open")
    }
    if len(of["yes"]) == len(known):
        return Callout("good", f"**Os dados sustentam a afirmação** em {_all(len(known))}.")
    if len(of["no"]) == len(known):
        return Callout("bad", f"**Os dados contrariam a afirmação** em {_all(len(known))}.")
    parts = [
        f"{words} em {count(len(of[answer]))} ({'; '.join(_places(of[answer]))})"
        for answer, words in (("yes", "sustentam"), ("no", "contrariam"))
        if of[answer]
    ]
    if of["open"]:
        parts.append(f"não decidem em {count(len(of['open']))} ({'; '.join(_places(of['open']))})")
    if len(of["open"]) == len(known):
        where = (
            "no único caso medido" if len(known) == 1 else f"nos {count(len(known))} casos medidos"
        )
        return Callout("warning", f"**Os dados não decidem** {where}.")
    return Callout(
        "warning",
        f"**Os dados respondem em parte.** De {count(len(known))} casos: {'; '.join(parts)}.",
    )


def low_latency(gathered: Gathered) -> list[Finding]:
    """The median at the lightest load beside the simulated wait, in each arm and wait."""
    found = []
    for name, where, groups in _climbs(gathered):
        light = groups[0]
        median = estimate(light, estimates.P50)
        wait_ms = sum(light.cell.payment_wait_s) / 2 * 1e3
        evidence = f"{_clients(light)}: {say.figure(say.MEDIAN, median)}"
        if wait_ms:
            evidence += f"; espera média do pagamento {milliseconds(wait_ms)}"
        found.append(Finding(name, where, at_most(median, wait_ms + LOW_MS), evidence))
    return found


def at_most(value: Interval | None, limit: float) -> Answer:
    """Whether a figure is at most so much: by a whole interval that may be published, or open."""
    if value is None:
        return "missing"
    if isinstance(value, AtLeast):
        return "no" if value.mean > limit else "open"
    if not value.published or value.low is None or value.high is None:
        return "open"
    return "yes" if value.high <= limit else "no" if value.low > limit else "open"


def bottleneck(gathered: Gathered) -> list[Finding]:
    """Whether more callers bring no more orders and only a longer tail."""
    found = []
    for name, where, groups in _climbs(gathered):
        before, last = groups[-2], groups[-1]
        rate_before, rate = (estimate(each, estimates.throughput) for each in (before, last))
        tail_before, tail = (estimate(each, estimates.P99) for each in (before, last))
        found.append(
            Finding(
                name, where, saturated(rate_before, rate, tail_before, tail),
                f"de {_clients(before)} para {_clients(last)}: vazão {say.figure(say.THROUGHPUT, rate_before)} "
                f"e {say.figure(say.THROUGHPUT, rate)}; p99 {say.figure(say.TAIL, tail_before)} e "
                f"{say.figure(say.TAIL, tail)}",
            )
        )  # fmt: skip
    return found


def saturated(
    rate_before: Interval | None, rate: Interval | None, tail_before: Interval | None,
    tail: Interval | None,
) -> Answer:  # fmt: skip
    """The claim's answer: yes when the rate is not shown to rise and the tail is; no when it rises."""
    risen = verdict(rate, rate_before)
    longer = verdict(tail, tail_before)
    if risen in {"missing", "unsure"} or longer in {"missing", "unsure"}:
        return "missing" if "missing" in {risen, longer} else "open"
    if risen == "higher":
        return "no"
    return "yes" if longer == "higher" else "open"


def coupling(gathered: Gathered) -> list[Finding]:
    """What each fault does at the edge of the chain: to the tail, and to the goodput."""
    found = []
    for each in every_struck(gathered):
        fault = fault_name(each.fault)
        found += [
            Finding(each.name, f"{fault}, latência", spread(each),
                    f"p99 antes {say.figure(say.TAIL, each.before_p99)}; desde a falha "
                    f"{say.figure(say.TAIL, each.after_p99)}; a falha explica "
                    f"{milliseconds(explained_ms(each))}"),
            Finding(each.name, f"{fault}, goodput", starved(each),
                    f"antes {say.figure(say.GOODPUT, each.before_per_s)}; durante {during(each)}"),
        ]  # fmt: skip
    return found


def explained_ms(each: Struck) -> float:
    """By how much a fault makes an order late that meets it: its delay, or all the time it lasts."""
    fault = each.fault
    return (fault.delay_s if fault.kind == "slow" else fault.for_s) * 1e3


def spread(each: Struck) -> Answer:
    """Yes when the tail rises by more than the fault explains, no when by no more; by intervals."""
    before, after = each.before_p99, each.after_p99
    if before is None or after is None:
        return "missing"
    if not before.published or not after.published:
        return "open"
    assert before.low is not None and before.high is not None  # noqa: PT018
    return over_bounds(after, before.low + explained_ms(each), before.high + explained_ms(each))


def over_bounds(value: Interval, low: float, high: float) -> Answer:
    """Yes when an interval lies above a range, no when below it, open where they overlap."""
    if value.low is not None and value.low > high:
        return "yes"
    return "no" if value.high is not None and value.high < low else "open"


def starved(each: Struck) -> Answer:
    """Yes when fewer orders a second end during the fault, no when they are not fewer."""
    if each.before_per_s is None or not each.during_per_s:
        return "missing"
    if not each.before_per_s.published:
        return "open"
    # Where some run ended nothing there is no interval on logarithms, and no doubt when none did.
    if not all(each.during_per_s):
        return "open" if any(each.during_per_s) else "yes"
    rate = over(list(each.during_per_s))
    if rate is None or rate.low is None:
        return "open"
    if verdict(rate, each.before_per_s) == "lower":
        return "yes"
    return "no" if rate.low >= KEPT_MIN * each.before_per_s.mean else "open"


def _climbs(gathered: Gathered) -> list[tuple[str, str, list[Group]]]:
    """Each arm and wait with two loads or more, lightest first."""
    climbs = []
    for curve in main_curves(gathered):
        for wait in curve.payment_waits:
            groups = gathered.select(experiment=curve.name, payment_wait_s=wait)
            for arm, of_arm in by_arm(groups):
                ordered = sorted(of_arm, key=lambda group: group.cell.concurrency or 0)
                if len(ordered) > 1:
                    climbs.append((arm_label(groups, arm), names.wait(wait), ordered))
    return climbs


def _clients(group: Group) -> str:
    return plural(group.cell.concurrency or 0, "cliente", "clientes")


def _places(findings: list[Finding]) -> list[str]:
    return [f"{each.name}, {each.where}" for each in findings]


def _all(number_of: int) -> str:
    return "todos os casos medidos" if number_of > 1 else "o único caso medido"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
