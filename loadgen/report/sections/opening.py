"""What the reader sees first: is it valid, is it correct, which objective did it meet."""

from __future__ import annotations

from loadgen.attribution.cli import RESIDUAL_MAX
from loadgen.report.figures.collection import Gathered
from loadgen.report.rendering import names
from loadgen.report.rendering.document import Block, Bullets, Callout, Heading, Paragraph, Table
from loadgen.report.rendering.numerals import bound, count, date, listed, plural
from loadgen.report.sections import little
from loadgen.report.sections.ladders import knee_sentence, knees
from loadgen.report.sections.loads import arm_label
from loadgen.study.analysis.statistics import LITTLE_MAX, RUNS_MIN, RUNS_PUBLISHED
from loadgen.study.records.record import RunRecord


def blocks(gathered: Gathered) -> list[Block]:
    """The opening section."""
    return [
        Heading(2, "Antes de tudo: pode-se acreditar?"),
        *mixed(gathered),
        validity(gathered),
        correctness(gathered),
        *objectives(gathered),
        *reservations(gathered),
        *_why_not(gathered),
        _facts(gathered),
    ]


def mixed(gathered: Gathered) -> list[Block]:
    """A warning when runs that differ in more than what is measured stand in one report."""
    if not gathered.differences:
        return []
    names_of = listed([f"`{source.directory}`" for source in gathered.sources])
    return [Callout(
        "bad", f"**Conjuntos diferentes no mesmo relatório.** {names_of} diferem em "
        f"{listed(list(gathered.differences))}. As execuções de um não foram somadas às do outro, mas "
        "comparar figuras entre eles não é comparar braços.",
    )]  # fmt: skip


def validity(gathered: Gathered) -> Callout:
    """How many runs are valid, and what became of the others."""
    runs = gathered.runs
    by_status = {
        status: sum(1 for run in runs if run.status == status)
        for status in ("ok", "invalid", "failed")
    }
    missing = sum(source.missing for source in gathered.sources)
    if by_status["ok"] == len(runs) and not missing:
        return Callout(
            "good", f"**Válido.** {_capital(plural(len(runs), 'execução', 'execuções'))}, todas dentro dos "
            f"limites que o gerador impõe a si mesmo; {count(gathered.orders)} pedidos medidos.",
        )  # fmt: skip
    parts = [
        f"{count(by_status['ok'])} de {plural(len(runs), 'execução é válida', 'execuções são válidas')}"
    ]
    if by_status["invalid"]:
        parts.append(f"{plural(by_status['invalid'], 'é inválida', 'são inválidas')}")
    if by_status["failed"]:
        parts.append(f"{plural(by_status['failed'], 'falhou', 'falharam')}")
    if missing:
        parts.append(f"{plural(missing, 'ainda não foi feita', 'ainda não foram feitas')}")
    tone = "bad" if not by_status["ok"] else "warning"
    title = (
        "Nada válido."
        if not by_status["ok"]
        else "Válido em parte."
        if by_status["ok"] < len(runs)
        else "Incompleto."
    )
    return Callout(
        "bad" if tone == "bad" else "warning",
        f"**{title}** {_capital('; '.join(parts))}. Só as válidas entram nas figuras "
        f"({count(gathered.orders)} pedidos medidos).",
    )  # fmt: skip


def correctness(gathered: Gathered) -> Callout:
    """Whether every audit was clean."""
    audits = [run.audit for run in gathered.runs if run.audit is not None]
    # The bare chain has no databases to audit.
    unaudited = sum(1 for run in gathered.runs if run.audit is None and not run.cell.bare)
    bad = [audit for audit in audits if not audit.clean]
    if not audits:
        return Callout("bad", "**Correção desconhecida.** Nenhuma execução foi auditada.")
    orders = sum(sum(audit.orders.values()) for audit in audits)
    rules = sorted({audit.rules for audit in audits})
    checked = (
        f"{count(rules[-1])} verificações"
        if len(rules) == 1
        else f"{count(rules[0])} a {count(rules[-1])} verificações"
    )
    if bad:
        total = sum(audit.total for audit in bad)
        return Callout(
            "bad", f"**Incorreto em {plural(len(bad), 'execução', 'execuções')}.** A auditoria achou "
            f"{plural(total, 'violação', 'violações')}; essas execuções não têm vazão e ficam fora das figuras.",
        )  # fmt: skip
    words = (
        f"**Correto.** {_capital(plural(len(audits), 'auditoria limpa', 'auditorias limpas'))}: "
        f"{count(orders)} pedidos conferidos nos bancos por {checked}, nenhum perdido, cobrado duas vezes "
        "ou sem fim."
    )
    if unaudited:
        words += f" {_capital(plural(unaudited, 'execução não foi auditada', 'execuções não foram auditadas'))}."
    return Callout("warning" if unaudited else "good", words)


def objectives(gathered: Gathered) -> list[Block]:
    """Up to which rate each arm sustained the objective of each ladder."""
    if not gathered.ladders():
        return [Callout(
            "note", "**Objetivo: não medido neste conjunto.** Sem laço aberto, o relatório compara os "
            "braços sob a mesma carga e não diz até que taxa cada um cumpre um objetivo.",
        )]  # fmt: skip
    every: list[Block] = []
    for ladder in gathered.ladders():
        for wait in ladder.payment_waits:
            found = knees(gathered, ladder, wait)
            groups = gathered.select(experiment=ladder.name, payment_wait_s=wait)
            told = [knee_sentence(arm_label(groups, arm), found.get(arm)) for arm in ladder.arms]
            met = [each.rate_per_s is not None for each in found.values()]
            texts = listed([f"`{text}`" for text in ladder.objectives])
            every.append(Callout(
                "good" if met and all(met) else "note" if any(met) else "warning",
                f"**Objetivo {texts}, e nenhuma fila que cresça**, {names.wait(wait)}; cada braço foi posto "
                f"à prova nas taxas em torno das que a sua busca achou. {' '.join(told)}",
            ))  # fmt: skip
    return every


def reservations(gathered: Gathered) -> list[Block]:
    """What a reader must know before trusting a figure: few runs, changed code."""
    told = []
    repeated = sorted(
        {
            len(group.believed)
            for group in gathered.groups
            if group.believed and group.cell.phase != "search"
        }
    )
    if repeated and repeated[0] < RUNS_MIN:
        told.append(
            f"Há pontos com menos de {RUNS_MIN} execuções válidas: eles não têm intervalo, e deles "
            "nenhuma diferença é afirmada."
        )
    if repeated and repeated[0] < RUNS_PUBLISHED:
        told.append(
            f"Há pontos com menos de {RUNS_PUBLISHED} execuções válidas: seus intervalos são só "
            "indicativos."
        )
    discarded = sum(source.discarded for source in gathered.sources)
    if discarded:
        told.append(
            f"{_capital(plural(discarded, 'execução foi posta', 'execuções foram postas'))} de lado e "
            f"{'feita' if discarded == 1 else 'feitas'} de novo a pedido de quem mediu; estão guardadas em "
            "`runs/discarded`, fora das figuras."
        )
    told += instruments(gathered)
    if len(gathered.commits) > 1 and not gathered.differences:
        told.append(
            f"As execuções são de versões diferentes do código: {listed([f'`{names.commit(each)}`' for each in gathered.commits])}."
        )
    if any(commit.endswith("-dirty") for commit in gathered.commits):
        told.append("O código medido tinha mudanças além da versão registrada (`-dirty`).")
    return [Paragraph("Ressalvas:"), Bullets(tuple(told))] if told else []


def instruments(gathered: Gathered) -> list[str]:
    """Where the instruments disagree with each other: Little's law, and unaccounted time."""
    offs, _ = little.every(gathered)
    bad = sum(1 for off in offs if off >= LITTLE_MAX)
    residuals = [
        run.result.attribution.median.residual_share
        for run in gathered.runs
        if run.status == "ok"
        and run.result is not None
        and run.result.attribution is not None
        and run.result.attribution.median is not None
    ]
    over = sum(1 for share in residuals if share > RESIDUAL_MAX)
    told = []
    if bad:
        told.append(
            f"A lei de Little não fecha dentro de {bound(LITTLE_MAX)} em {count(bad)} de "
            f"{count(len(offs))} medidas de saltos: ali os tempos por salto pedem cautela."
        )
    if over:
        told.append(
            f"Em {count(over)} de {plural(len(residuals), 'execução', 'execuções')} mais de "
            f"{bound(RESIDUAL_MAX)} do pedido mediano fica sem explicação."
        )
    return told


def _why_not(gathered: Gathered) -> list[Block]:
    """Each reason that kept runs out, with how many and one of them."""
    reasons: dict[str, list[RunRecord]] = {}
    for run in gathered.runs:
        for reason in run.reasons if run.status != "ok" else ():
            reasons.setdefault(reason, []).append(run)
    if not reasons:
        return []
    rows = tuple(
        (reason, count(len(runs)), runs[0].id)
        for reason, runs in sorted(reasons.items(), key=lambda item: -len(item[1]))
    )
    return [
        Table(
            ("motivo (como registrado)", "execuções", "por exemplo"),
            rows,
            "O que ficou de fora, e por quê",
        )
    ]


def _facts(gathered: Gathered) -> Table:
    manifest = gathered.manifest
    environment = manifest.environment
    packages = environment.get("packages") or {}
    started = manifest.sittings[0].started if manifest.sittings else ""
    commit = environment.get("commit")
    rows = [
        ("conjunto", f"`{manifest.preset}`, semente {manifest.seed}"),
        ("durabilidade", names.durability(manifest.durability)),
        ("medido em", date(started)),
        ("máquina", (f"{environment.get('processor')}, {environment.get('cpu_count')} processadores, "
                    f"{environment.get('memory_mb')} MB, {environment.get('platform')}, "
                    f"{environment.get('filesystem')}")),
        ("código", f"`{commit}`" if commit else "sem versão registrada"),
        ("Python e pacotes", listed([f"Python {environment.get('python')}", *(f"{name} {version}" for name, version in packages.items())])),
        ("comandos", "; ".join(f"`{sitting.command}`" for source in gathered.sources for sitting in source.manifest.sittings)),
    ]  # fmt: skip
    return Table(("", "o que foi medido, e como"), tuple(rows), words=2)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
