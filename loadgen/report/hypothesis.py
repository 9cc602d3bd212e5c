"""The course's hypothesis, claim by claim: what the data say of it in each arm.

The claims: a synchronous chain has low latency at low volume; under high load it meets bottlenecks;
its services are coupled, so that one slow service hurts the whole chain. A claim holds in an arm,
or does not, or is undecided where intervals overlap, or was not measured; never by a middle alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from loadgen.report import estimates, names
from loadgen.report import sentences as say
from loadgen.report.document import Block, Callout, Heading, Paragraph, Table
from loadgen.report.estimates import Verdict, estimate, verdict
from loadgen.report.faults import Struck, every_struck, fault_name
from loadgen.report.gathering import Gathered, Group
from loadgen.report.loads import by_arm, main_curves
from loadgen.report.numerals import count, listed, plural
from loadgen.study.statistics import Interval

Answer = Literal["yes", "no", "open", "missing"]
ANSWERS: Final[dict[Answer, str]] = {
    "yes": "os dados sustentam",
    "no": "os dados contrariam",
    "open": "nenhuma diferença demonstrada",
    "missing": "não medido neste conjunto",
}
# What a claim that the first is lower is answered by how they compare.
_LOWER: Final[dict[Verdict, Answer]] = {
    "lower": "yes", "higher": "no", "none": "open", "unsure": "open", "missing": "missing",
}  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """What one arm says of one claim, and by which figures."""

    arm: str
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
               "Critério: a latência mediana na menor carga medida é menor do que na maior.",
               low_latency(gathered)),
        *claim("Sob carga alta há um gargalo: a vazão para de crescer",
               "Critério: da penúltima para a maior carga medida a vazão não sobe, e a latência p99 sobe.",
               bottleneck(gathered)),
        *claim("Um serviço lento prejudica toda a cadeia",
               "Critério: enquanto um serviço está lento ou fora do ar, as chamadas em andamento nos "
               "serviços à frente crescem.",
               coupling(gathered)),
    ]  # fmt: skip


def claim(title: str, criterion: str, findings: list[Finding]) -> list[Block]:
    """One claim: its criterion, the verdict over all arms, and the evidence of each."""
    blocks: list[Block] = [Heading(3, title), Paragraph(criterion), overall(findings)]
    if findings:
        rows = tuple(
            (names.arm(each.arm), each.where, ANSWERS[each.answer], each.evidence)
            for each in findings
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
        parts.append(
            f"nenhuma diferença é demonstrada em {count(len(of['open']))} ({'; '.join(_places(of['open']))})"
        )
    return Callout(
        "warning",
        f"**Os dados respondem em parte.** De {count(len(known))} casos: {'; '.join(parts)}.",
    )


def low_latency(gathered: Gathered) -> list[Finding]:
    """The median at the lightest load against the one at the heaviest, in each arm and wait."""
    found = []
    for arm, where, groups in _climbs(gathered):
        light, heavy = groups[0], groups[-1]
        first, last = estimate(light, estimates.P50), estimate(heavy, estimates.P50)
        answer = _LOWER[verdict(first, last)]
        evidence = (
            f"{_clients(light)}: {say.figure(say.MEDIAN, first)}; "
            f"{_clients(heavy)}: {say.figure(say.MEDIAN, last)}"
        )
        found.append(Finding(arm, where, answer, evidence))
    return found


def bottleneck(gathered: Gathered) -> list[Finding]:
    """Whether more callers bring no more orders and only a longer tail."""
    found = []
    for arm, where, groups in _climbs(gathered):
        before, last = groups[-2], groups[-1]
        rate_before, rate = (estimate(each, estimates.throughput) for each in (before, last))
        tail_before, tail = (estimate(each, estimates.P99) for each in (before, last))
        found.append(
            Finding(
                arm, where, saturated(rate_before, rate, tail_before, tail),
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
    """Whether the services in front of a struck one fill up."""
    return [
        Finding(each.arm, fault_name(each.fault), filled(each), _grown(each))
        for each in every_struck(gathered)
    ]


def filled(each: Struck) -> Answer:
    """Yes when every service in front has more under way than before; no when none has."""
    known = [
        grown for grown in each.upstream.values() if grown is not None and grown.low is not None
    ]
    if not known:
        return "missing" if all(grown is None for grown in each.upstream.values()) else "open"
    more = [grown for grown in known if grown.low is not None and grown.low > 1]
    if len(more) == len(known):
        return "yes"
    less = [grown for grown in known if grown.high is not None and grown.high < 1]
    return "no" if len(less) == len(known) else "open"


def _grown(each: Struck) -> str:
    parts = [
        f"{names.service(service)} {say.times(grown.mean)}"
        + (
            f" (IC 95 %: {say.times(grown.low)} a {say.times(grown.high)})"
            if grown.low is not None and grown.high is not None
            else ""
        )
        for service, grown in each.upstream.items()
        if grown is not None
    ]
    return "em andamento, durante ÷ antes: " + listed(parts) if parts else say.NOT_MEASURED


def _climbs(gathered: Gathered) -> list[tuple[str, str, list[Group]]]:
    """Each arm and wait with two loads or more, lightest first."""
    climbs = []
    for curve in main_curves(gathered):
        for wait in curve.payment_waits:
            groups = gathered.select(experiment=curve.name, payment_wait_s=wait)
            for arm, of_arm in by_arm(groups):
                ordered = sorted(of_arm, key=lambda group: group.cell.concurrency or 0)
                if len(ordered) > 1:
                    climbs.append((arm, names.wait(wait), ordered))
    return climbs


def _clients(group: Group) -> str:
    return plural(group.cell.concurrency or 0, "cliente", "clientes")


def _places(findings: list[Finding]) -> list[str]:
    return [f"{names.arm(each.arm)}, {each.where}" for each in findings]


def _all(number_of: int) -> str:
    return "todos os casos medidos" if number_of > 1 else "o único caso medido"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
