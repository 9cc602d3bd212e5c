"""The comparative analysis: complexity, coupling, scaling, resilience, performance, observability."""

from __future__ import annotations

from typing import Final

from common.contratos import OPERACOES
from loadgen.machine.environment import commit
from loadgen.report.figures import complexity, estimates
from loadgen.report.figures.collection import Gathered, Group
from loadgen.report.figures.estimates import Metric, estimate, verdict
from loadgen.report.rendering import names
from loadgen.report.rendering.document import Block, Bullets, Callout, Heading, Paragraph, Table
from loadgen.report.rendering.numerals import MISSING, count, fixed, listed, plural
from loadgen.report.sections.faults import recovery_sentence
from loadgen.report.sections.ladders import doubts, knee_sentence, knees
from loadgen.report.sections.loads import arm_label, at, main_curves, shared_loads
from loadgen.report.sections.scaling import fits, peak_sentence
from loadgen.report.sections.strikes import CHAIN, Struck, every_struck, fault_name
from loadgen.report.words import sentences as say

_MEASURES: Final[tuple[tuple[say.Measure, Metric], ...]] = (
    (say.THROUGHPUT, estimates.throughput),
    (say.MEDIAN, estimates.P50),
    (say.TAIL, estimates.P99),
    (say.CPU, estimates.cpu_ms),
    (say.BYTES, estimates.kilobytes),
    (say.MEMORY, estimates.memory_mb),
)


def analysis(gathered: Gathered) -> list[Block]:
    """The whole section."""
    return [
        Heading(2, "Análise comparativa"),
        *_complexity(gathered),
        *_coupling(gathered),
        *_scaling(gathered),
        *_resilience(gathered),
        *performance(gathered),
        *_observability(),
    ]


def _complexity(gathered: Gathered) -> list[Block]:
    arms, shared, contract = complexity.arms(), complexity.shared(), complexity.contract()
    rows = tuple(
        (f"`{each.name}`", count(each.modules), count(each.lines), count(each.functions),
         fixed(each.complexity_mean, 1), f"{each.complexity_max} (`{each.most_complex}`)",
         count(each.own_modules), ", ".join(each.packages) or MISSING)
        for each in (*arms, *shared)
    )  # fmt: skip
    columns = ("pacote", "módulos", "linhas", "funções", "complexidade média", "máxima",
               "módulos do projeto de que depende", "pacotes de fora")  # fmt: skip
    sizes = {each.name: each for each in arms}
    grpc, rest = sizes["grpc_aio"], sizes["http_aio"]
    domain = shared[0]
    larger, smaller = (rest, grpc) if rest.lines > grpc.lines else (grpc, rest)
    return [
        Heading(3, "Complexidade de implementação e manutenção"),
        Paragraph(
            f"Medida do código que fez este relatório ({_tree(gathered)}). Dos dois braços de laço de eventos, o maior é `{larger.name}`, com {count(larger.lines)} linhas, e o menor é "
            f"`{smaller.name}`, com {count(smaller.lines)}. O domínio, que nenhum copia, tem "
            f"{count(domain.lines)}. A isso o gRPC soma {count(contract.files)} arquivos `.proto` com "
            f"{count(contract.lines)} linhas escritas à mão e {count(contract.generated_lines)} geradas em "
            f"{count(contract.generated_files)} arquivos; o REST não tem passo de geração: a descrição "
            "OpenAPI é feita da tabela de operações por um módulo do próprio braço."
        ),
        Table(columns, rows, "Linhas de código sem vazias e comentários; complexidade ciclomática de McCabe"),
        Paragraph(
            f"Acrescentar uma operação às {count(len(OPERACOES))} existentes custa, nos dois, uma linha na "
            "tabela, as mensagens e um método; no gRPC, também a mensagem no `.proto` e gerar de novo. Em "
            "troca, o contrato do gRPC é verificado antes de rodar, e o do REST, na validação de cada corpo."
        ),
    ]  # fmt: skip


def _tree(gathered: Gathered) -> str:
    """Which version of the code lines are counted in, and whether it is the one that was measured."""
    here = commit()
    if here is None:
        return "sem versão registrada"
    words = f"versão `{names.commit(here)}`"
    if gathered.commits and gathered.commits != [here]:
        measured = listed([f"`{names.commit(each)}`" for each in gathered.commits])
        words += f", e não a das medidas, {measured}"
    return words


def _coupling(gathered: Gathered) -> list[Block]:
    blocks: list[Block] = [
        Heading(3, "Acoplamento entre serviços"),
        Paragraph(
            "**No tempo**, os braços são iguais: a cadeia é síncrona, e um pedido só termina com todos os "
            "serviços de pé. Nem o protocolo nem o modelo de E/S mudam isso. **No contrato**, o gRPC acopla "
            "mais cedo (quem chama é gerado do mesmo `.proto`) e o REST mais tarde (um campo que falta só "
            "aparece na chamada). **Nos recursos** (raciocínio sobre o desenho; as medidas vêm abaixo): com threads "
            "um serviço lento segura uma thread em cada serviço à frente, e no laço só um lugar entre muitos."
        ),
    ]
    struck = every_struck(gathered)
    told = [
        upstream_sentence(each.name, fault_name(each.fault), [
            (names.service(service), grown.mean) for service, grown in each.upstream.items() if grown
        ])
        for each in struck
    ]  # fmt: skip
    if told:
        blocks += [
            Paragraph("Chamadas em andamento à frente do serviço atingido, durante a falha:"),
            Bullets(tuple(told)),
            Paragraph(" ".join(coupled(struck))),
        ]
    else:
        blocks.append(
            Callout(
                "note", f"O efeito de um serviço lento sobre os da frente foi {say.NOT_MEASURED}."
            )
        )
    return blocks


def coupled(every: list[Struck]) -> list[str]:
    """Of each fault and protocol, whether threads held more calls in front than the loop did.

    The first service of the chain is looked at: it stands in front of all others.
    """
    told = []
    for fault in dict.fromkeys(each.fault for each in every):
        of = {each.arm: each for each in every if each.fault == fault}
        for loop, threads in names.MODEL_PAIRS:
            if loop not in of or threads not in of:
                continue
            one, other = (of[arm].upstream.get(CHAIN[0]) for arm in (threads, loop))
            head = f"{fault_name(fault)}, {of[threads].name} contra {of[loop].name}"
            words = {
                "higher": "com threads as chamadas em andamento em Pedidos crescem mais",
                "lower": "com threads as chamadas em andamento em Pedidos crescem menos",
                "none": f"{say.NO_DIFFERENCE} em quanto crescem as chamadas em andamento em Pedidos",
                "unsure": "execuções de menos para dizer onde as chamadas em andamento crescem mais",
                "censored": say.NOT_MEASURED,
                "missing": say.NOT_MEASURED,
            }[verdict(one, other)]
            told.append(f"{head}: {words}.")
    return told


def upstream_sentence(name: str, fault: str, grown: list[tuple[str, float]]) -> str:
    """How many more calls were under way in front of a struck service."""
    head = f"{name}, {fault}"
    if not grown:
        return f"{head}: {say.NOT_MEASURED}."
    return f"{head}: {listed([f'{service} {say.times(ratio)} o de antes' for service, ratio in grown])}."


def _scaling(gathered: Gathered) -> list[Block]:
    every = [
        (names.wait(wait), each)
        for curve in main_curves(gathered)
        for wait in curve.payment_waits
        for each in fits(gathered, curve, wait)
    ]
    return [
        Heading(3, "Escalabilidade, para cima e para os lados"),
        Paragraph(
            "**Para cima** (uma máquina maior): cada serviço é um processo Python, que usa um "
            "processador de cada vez para o seu código; com seis serviços, mais processadores ajudam até "
            "que o mais carregado encha um. No laço de eventos a espera é quase de graça, e o limite é a "
            "CPU; com threads há antes um limite aritmético, o número de threads dividido pela espera de "
            "cada pedido. **Para os lados** (mais máquinas): aqui um processo é dono do seu banco, e não "
            "há réplicas; réplicas pediriam um banco compartilhado, nos dois protocolos. O REST passa por "
            "qualquer balanceador; o gRPC precisa de um que distribua chamadas e não conexões, porque uma "
            "conexão leva todas."
        ),
        Bullets(tuple(f"{_capital(wait)}. {peak_sentence(each)}" for wait, each in every))
        if every
        else Callout("note", f"O ajuste da lei universal foi {say.NOT_MEASURED}."),
    ]


def _resilience(gathered: Gathered) -> list[Block]:
    told = [
        f"{fault_name(each.fault)}. {recovery_sentence(each)}" for each in every_struck(gathered)
    ]
    return [
        Heading(3, "Resiliência a falhas"),
        Paragraph(
            "Pelo desenho, a correção não depende do braço: a reivindicação durável, o pivô e a recuperação "
            f"são do domínio. {audited(gathered)} O que pode diferir é quanto tempo se perde."
        ),
        Bullets(tuple(told)) if told else Callout("note", f"Faults: {say.NOT_MEASURED}."),
    ]


def audited(gathered: Gathered) -> str:
    """What the audits of runs with faults say of that."""
    audits = [run.audit for run in gathered.runs if run.cell.faults and run.audit is not None]
    bad = sum(1 for audit in audits if not audit.clean)
    if not audits:
        return "Nenhuma execução com falhas foi auditada: aqui isso não foi posto à prova."
    if bad:
        return (
            f"**A auditoria o contraria** em {count(bad)} de {plural(len(audits), 'execução', 'execuções')} "
            "com falhas."
        )
    return (
        f"A auditoria de {plural(len(audits), 'execução', 'execuções')} com falhas não achou violação "
        "nenhuma."
    )


def performance(gathered: Gathered) -> list[Block]:
    """Who does better at the lightest and the heaviest load that both arms of a pair met."""
    blocks: list[Block] = [Heading(3, "Desempenho sob diferentes cargas")]
    for curve in main_curves(gathered):
        for wait in curve.payment_waits:
            groups = gathered.select(experiment=curve.name, payment_wait_s=wait)
            rows = [
                row
                for pair in (*names.PROTOCOL_PAIRS, *names.MODEL_PAIRS)
                for row in _pair_rows(groups, *pair)
            ]
            if rows:
                columns = ("comparação", "clientes", *(measure.name for measure, _ in _MEASURES))
                caption = f"Quem se sai melhor, {names.wait(wait)}"
                blocks.append(Table(columns, tuple(rows), caption, words=len(columns)))
    for ladder in gathered.ladders():
        for wait in ladder.payment_waits:
            groups = gathered.select(experiment=ladder.name, payment_wait_s=wait)
            found, doubted = knees(gathered, ladder, wait), doubts(gathered, ladder, wait)
            blocks.append(Bullets(tuple(
                knee_sentence(arm_label(groups, arm), found.get(arm), doubted.get(arm, ()))
                for arm in ladder.arms
            )))  # fmt: skip
    if len(blocks) == 1:
        blocks.append(Callout("note", f"Desempenho: {say.NOT_MEASURED}."))
    return blocks


def _pair_rows(groups: list[Group], one: str, other: str) -> list[tuple[str, ...]]:
    shared = shared_loads(groups, one, other)
    rows = []
    for load in dict.fromkeys([*shared[:1], *shared[-1:]]):
        cells = [
            say.winner(
                measure,
                arm_label(groups, one), estimate(at(groups, one, load), metric),
                arm_label(groups, other), estimate(at(groups, other, load), metric),
            )
            for measure, metric in _MEASURES
        ]  # fmt: skip
        pair = f"{arm_label(groups, one)} × {arm_label(groups, other)}"
        rows.append((pair, count(load), *cells))
    return rows


def _observability() -> list[Block]:
    return [
        Heading(3, "Observabilidade e monitoramento"),
        Paragraph(
            "Cada resposta traz um registro de tempo que cresce salto a salto, o mesmo nos dois "
            "protocolos: no REST no cabeçalho `Server-Timing`, que qualquer navegador mostra; no gRPC em "
            "metadados finais, que pedem uma ferramenta que os leia. O REST se inspeciona com `curl` e "
            "aparece legível em qualquer captura; o gRPC tem reflexão e serviço de saúde padronizados, "
            "mas os seus quadros são binários. No laço de eventos, uma medida nova se faz necessária: o "
            "atraso do próprio laço, que com threads não existe e cujo papel a espera por uma thread "
            "livre assume. Rastrear um pedido é mais fácil com threads (a pilha de uma thread é a "
            "história do pedido) e medir a espera é mais fácil no laço."
        ),
    ]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
