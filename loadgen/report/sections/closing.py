"""The report's last sections: Kafka, the conclusion, what is not shown, how to do it again."""

from __future__ import annotations

from typing import Final

from common.arms import MODES
from common.contratos import SERVICOS
from loadgen.report.figures import complexity, estimates
from loadgen.report.figures.collection import Gathered
from loadgen.report.figures.diagrams import chain_of_calls
from loadgen.report.figures.estimates import Metric, Verdict, estimate, verdict
from loadgen.report.rendering import names
from loadgen.report.rendering.document import (
    Block,
    Bullets,
    Callout,
    Code,
    Heading,
    Paragraph,
    Table,
)
from loadgen.report.rendering.numerals import count, listed
from loadgen.report.sections import ceilings
from loadgen.report.sections.loads import arm_label, at, main_curves, shared_loads
from loadgen.report.words import sentences as say
from loadgen.report.words.commands import redraw, study

_COUNTED: Final[tuple[tuple[say.Measure, Metric], ...]] = (
    (say.THROUGHPUT, estimates.throughput),
    (say.TAIL, estimates.P99),
    (say.CPU, estimates.cpu_ms),
    (say.BYTES, estimates.kilobytes),
)


def kafka() -> list[Block]:
    """How publish and subscribe would change the chain: reasoned, and marked as not measured."""
    steps = chain_of_calls()
    return [
        Heading(2, "E com publicação e assinatura (Kafka)?"),
        Callout("warning", "**Não medido.** Nenhum braço deste projeto usa Kafka; esta seção é raciocínio sobre o desenho, e nenhuma figura a sustenta."),
        Paragraph(
            "**O que mudaria.** Cada passo já tem duas metades: a unidade local, que confirma no banco, e o "
            "que vem depois. A segunda metade passaria de “chamar e esperar” para “publicar um evento”. "
            f"Pedidos confirmaria a reivindicação e responderia 202; os outros {count(len(steps) - 1)} passos "
            "viriam por tópicos com a chave do pedido como chave de partição, o que mantém a ordem por pedido."
        ),
        Bullets((
            ("**Acoplamento no tempo some**: com o Fiscal fora do ar, os pedidos esperam no tópico, e ninguém à "
            "frente segura uma chamada. A fila que aqui está em memória ficaria no disco do broker."),
            ("**Picos viram atraso, e não recusa**: a vazão dos consumidores continua a mesma; o que muda é onde "
            "o excesso espera."),
            "**Outros interessados entram sem mexer em quem publica** (antifraude, e-mail, análise).",
        )),
        Paragraph("**O que custaria.**"),
        Bullets((
            ("Uma caixa de saída (outbox): gravar o efeito e o evento na mesma transação, porque banco e broker "
            f"não confirmam juntos. São {count(len(steps) + 1)} confirmações por pedido hoje, uma por passo e a do fim "
            "em Pedidos; cada uma ganharia uma "
            "linha a mais e uma publicação."),
            ("Consumidores idempotentes, porque a entrega é ao menos uma vez. Isto já existe aqui: cada serviço "
            "arbitra por chave primária."),
            ("O desfazer deixa de voltar pela pilha de chamadas e vira eventos de compensação; o pivô e as "
            "lápides continuam necessários."),
            ("A resposta ao cliente deixa de ser o fim do pedido: é preciso consultar ou ser avisado, e a "
            "latência a comparar passa a ser o tempo até o estado terminal."),
            ("Um broker para instalar, dimensionar, replicar e vigiar, e o atraso dos consumidores como a nova "
            "medida principal."),
        )),
        Paragraph(
            "**O que se esperaria medir.** Latência até o fim maior em volume baixo (cada salto passa por um "
            "disco a mais), e goodput que se mantém enquanto um serviço está fora, com uma volta mais longa "
            "depois. Só uma medida com o mesmo gerador e a mesma auditoria diria quanto."
        ),
    ]  # fmt: skip


def conclusion(gathered: Gathered) -> list[Block]:
    """What was learned, counted from verdicts, and when each fits."""
    protocol, model = (
        [
            sentence
            for pair in pairs
            for measure, metric in _COUNTED
            for sentence in tallies_of(gathered, *pair, measure, metric)
        ]
        for pairs in (names.PROTOCOL_PAIRS, names.MODEL_PAIRS)
    )
    grpc, rest = _lines("grpc_aio"), _lines("http_aio")
    shorter = "gRPC" if grpc < rest else "REST"
    return [
        Heading(2, "Conclusão"),
        Heading(3, "O protocolo: gRPC ou REST"),
        Bullets(tuple(protocol)),
        Heading(3, "A espera: laço de eventos ou threads"),
        Bullets(tuple(model)),
        *ceilings.conclusion(gathered),
        Heading(3, "Quando cada um"),
        Bullets((
            ("**gRPC** quando os dois lados são da mesma casa, o contrato muda com frequência e deve ser "
            f"verificado antes de rodar, e poucas conexões devem levar muitas chamadas. {bytes_advice(gathered)}"),
            ("**REST** quando há clientes de fora, navegadores e ferramentas comuns, e quando ler o que passa no "
            f"fio vale mais que o tamanho. Neste código, o braço mais curto é o {shorter} "
            f"({count(min(grpc, rest))} contra {count(max(grpc, rest))} linhas, sem o código gerado)."),
            f"**Laço de eventos** quando os pedidos passam a maior parte do tempo esperando. {model_advice(gathered)}",
            ("**Threads** quando há pouca espera e concorrência conhecida, ou quando as bibliotecas bloqueiam: o "
            "código é mais fácil de seguir, e o número de threads é um limite que se escolhe."),
            ("**Nenhum dos dois** quando o pedido não precisa terminar enquanto o cliente espera: aí a cadeia "
            "síncrona é o problema, e não o protocolo."),
        )),
    ]  # fmt: skip


def tallies_of(
    gathered: Gathered, one: str, other: str, measure: say.Measure, metric: Metric
) -> list[str]:
    """How the comparisons of two arms went over the loads that both met, each wait by itself."""
    told = []
    for curve in main_curves(gathered):
        for wait in curve.payment_waits:
            groups = gathered.select(experiment=curve.name, payment_wait_s=wait)
            found: list[Verdict] = [
                verdict(
                    estimate(at(groups, one, load), metric),
                    estimate(at(groups, other, load), metric),
                )
                for load in shared_loads(groups, one, other)
            ]
            if not found:
                continue
            first, second = arm_label(groups, one), arm_label(groups, other)
            words = say.tally(found, first, second, more_is_better=measure.more_is_better)
            told.append(
                f"{measure.name[:1].upper()}{measure.name[1:]}, {first} × {second}, "
                f"{names.wait(wait)}. {words}"
            )
    pair = f"{names.arm(one)} × {names.arm(other)}"
    return told or [f"{measure.name[:1].upper()}{measure.name[1:]}, {pair}: {say.NOT_MEASURED}."]


def bytes_advice(gathered: Gathered) -> str:
    """Whether gRPC moved fewer bytes here, as far as it was measured."""
    return _advice(gathered, "grpc", "http", say.BYTES, estimates.kilobytes)


def model_advice(gathered: Gathered) -> str:
    """Whether the event loop carried more here, as far as it was measured."""
    return " ".join(
        dict.fromkeys(
            _advice(gathered, one, other, say.THROUGHPUT, estimates.throughput)
            for one, other in names.MODEL_PAIRS
        )
    )


def _advice(gathered: Gathered, one: str, other: str, measure: say.Measure, metric: Metric) -> str:
    """The comparison at the heaviest load that both arms met with the longest payment wait."""
    for curve in main_curves(gathered):
        for wait in sorted(curve.payment_waits, key=sum, reverse=True):
            groups = gathered.select(experiment=curve.name, payment_wait_s=wait)
            loads = shared_loads(groups, one, other)
            if loads:
                load = max(loads)
                sentence = say.compared(
                    measure,
                    arm_label(groups, one), estimate(at(groups, one, load), metric),
                    arm_label(groups, other), estimate(at(groups, other, load), metric),
                )  # fmt: skip
                return f"Com {count(load)} clientes, {names.wait(wait)}: {sentence[:1].lower()}{sentence[1:]}"
    return f"{measure.name[:1].upper()}{measure.name[1:]} de {names.arm(one)} e {names.arm(other)}: {say.NOT_MEASURED}."


def limits(gathered: Gathered) -> list[Block]:
    """What this does not show."""
    environment = gathered.manifest.environment
    arms = {group.cell.arm for group in gathered.groups if group.believed}
    absent = [names.arm(arm) for arm in MODES if arm not in arms]
    told = [
        (f"**Uma máquina** ({environment.get('cpu_count')} processadores): {count(len(SERVICOS))} serviços e o "
        "gerador dividem os mesmos processadores, e a rede é a interface local. Não há latência de rede, perda "
        "nem TLS, que pesam de modo diferente em HTTP/2 e HTTP/1.1."),
        ("**Uma linguagem**: em Python o custo do interpretador domina; as razões entre protocolos seriam outras "
        "em Go, Java ou C++."),
        "**Bibliotecas, e não protocolos**: o que se compara é `grpc.aio` com `aiohttp`, e as suas versões.",
        ("**Um pagamento simulado**: a espera é uniforme e independente da carga; um gateway de verdade fica mais "
        "lento quando é mais chamado."),
        "**Sem réplicas** e sem balanceador: escalar para os lados é raciocínio, e não medida.",
        ("**Intervalos são sobre execuções nesta máquina**: dizem quanto o acaso de uma execução para outra move a "
        "figura, e não quanto ela mudaria em outra máquina."),
        ("**Muitas comparações**: com muitos pares e cargas, algum intervalo se separa por acaso. Uma diferença que "
        "aparece numa carga só pede cautela."),
    ]  # fmt: skip
    if absent:
        told.append(f"**Braços que faltam neste conjunto**: {listed(absent, 'e')}.")
    told += [
        f"**Dito pelo próprio plano**: {names.limit(limit)}."
        for source in gathered.sources
        for limit in source.manifest.plan.limits
    ]
    missing = sum(source.missing for source in gathered.sources)
    if missing:
        told.append(f"**Execuções que faltam**: {count(missing)} das planejadas.")
    return [Heading(2, "O que isto não mostra"), Bullets(tuple(told))]


def reproduction(gathered: Gathered) -> list[Block]:
    """How to make every figure again."""
    rows = []
    for experiment in gathered.experiments():
        groups = gathered.select(experiment=experiment.name)
        runs = [run for group in groups for run in group.runs]
        ok = sum(1 for run in runs if run.status == "ok")
        rows.append((
            f"`{experiment.name}`", "; ".join([names.arm(arm) for arm in experiment.arms]),
            "; ".join([names.wait(wait) for wait in experiment.payment_waits]),
            count(experiment.repetitions), f"{count(ok)} de {count(len(runs))}",
        ))  # fmt: skip
    columns = ("experimento", "braços", "espera", "repetições", "execuções válidas")
    return [
        Heading(2, "Como refazer"),
        Paragraph(
            "Ao lado de cada figura está o comando que a mediu. As execuções são em processos novos, em ordem "
            f"sorteada pela semente {gathered.manifest.seed}, e os dados crus ficam guardados: este relatório é "
            "refeito deles a qualquer momento."
        ),
        Code("\n".join([
            "# o ambiente", "python -m venv .venv && .venv/bin/pip install -r requirements.txt",
            "# as medidas", *study(gathered), "# este relatório", redraw(gathered),
        ])),
        Table(columns, tuple(rows), "O que foi planejado e o que foi medido", words=3),
    ]  # fmt: skip


def _lines(name: str) -> int:
    return next(each.lines for each in complexity.arms() if each.name == name)
