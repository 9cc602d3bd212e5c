"""The report's first sections: introduction, architectures, implementation; no figure is typed."""

from __future__ import annotations

from typing import Final

from common.contratos import OPERACOES, SERVICOS, operacoes_de
from common.diagrams import TABLES
from common.erros import GRPC_CODE, PROBLEM_TITLE, STATUS_HTTP
from common.servicos.protocolo.transicoes import AUSENTE
from common.settings import ACTIVE_MAX
from loadgen.report.figures import complexity, diagrams
from loadgen.report.figures.collection import Gathered
from loadgen.report.rendering import names
from loadgen.report.rendering.document import Block, Bullets, Folded, Heading, Paragraph, Table
from loadgen.report.rendering.numerals import count
from loadgen.report.sections.loads import arm_label
from loadgen.study.analysis.statistics import RUNS_PUBLISHED

# What each room is for, in the words of the assignment.
ROLES: Final = {
    "pedidos": "recebe o checkout, conduz o pedido até o fim e é o único que insiste",
    "pagamentos": "cobra no gateway simulado, que tem livros próprios",
    "estoque": "separa todos os itens, ou nenhum",
    "fiscal": "emite a nota, com numeração sem buracos e chave de 44 dígitos",
    "logistica": "agenda o envio; a sua linha decide o pedido (o pivô)",
    "catalogo": "lista produtos com preço e saldo, e informa preços a Pedidos",
}
# Difficulties met, and how each was solved: what happened, what was done.
DIFFICULTIES: Final = (
    ("Resposta perdida e pedido perdido são iguais para quem chamou.",
     ("Um resultado desconhecido nunca desfaz nada: só uma recusa durável volta desfazendo. Pedidos "
     "pergunta de novo até saber, e a linha da Logística, envio ou lápide, decide uma vez só.")),
    (("No `grpc.aio`, um serviço que fecha no meio de uma chamada não manda estado nenhum, e quem "
     "chamou espera o prazo inteiro."),
     ("O cancelamento que não veio do cliente vira `UNAVAILABLE` na borda, os canais fecham por último, "
     "e uma parada avisa antes de recusar.")),
    ("O núcleo do gRPC descarta, sem aviso em log, chamadas que esperam demais para ser atendidas.",
     "Os limites do núcleo foram afastados, e a admissão é feita na borda, com recusa clara e sem efeito."),
    ("O cliente HTTP do `aiohttp` permite cem conexões no total; sem limite nenhum, ele também cai.",
     "O número de conexões por salto é explícito e dimensionado pela carga."),
    ("Prazos não se propagam: o segundo salto não sabe quanto tempo resta.",
     ("Viaja o instante absoluto do prazo; cada salto guarda uma reserva e não começa o que não pode "
     "terminar.")),
    ("Uma confirmação durável por chamada gasta quase todo o tempo descarregando o disco.",
     "Unidades que esperam juntas compartilham uma confirmação, e ninguém recebe resposta antes dela."),
    ("Duas tarefas na mesma conexão SQLite compartilham a transação: uma confirma o que a outra desfaz.",
     "Há um escritor por arquivo, e cada unidade de trabalho é uma função inteira na thread do banco."),
    ("Um `await` cancelado ainda executa no banco.",
     "O trabalho depois da reivindicação vive numa tarefa do serviço, e não na do cliente."),
    ("Insistir contra um serviço parado multiplica a carga por todos os saltos.",
     ("Só Pedidos insiste, com teto, sorteio e orçamento; disjuntores falham cedo e não decidem pedido "
     "algum.")),
    ("Um laço fechado esconde a lentidão: quando o sistema para, o gerador para junto.",
     "O laço aberto segue um cronograma feito antes, e a latência conta do instante pretendido."),
)  # fmt: skip


def introduction(gathered: Gathered) -> list[Block]:
    """Objectives and how the answer was sought."""
    arms = list(dict.fromkeys(group.cell.arm for group in gathered.groups))
    return [
        Heading(2, "Introdução"),
        Paragraph(
            "Um checkout de comércio eletrônico passa por uma cadeia síncrona de serviços: cada um "
            "chama o seguinte e espera a resposta. Este relatório pergunta o que muda quando só muda "
            "a **forma de comunicar** (gRPC ou REST) ou só a **forma de esperar** (laço de eventos, "
            "com E/S não bloqueante, ou uma thread por requisição)."
        ),
        Paragraph(
            f"O domínio existe uma vez e é servido por todos os braços. Os {len(SERVICOS)} serviços, o "
            "armazenamento durável, os prazos e o tratamento de erros são os mesmos; por isso uma "
            "diferença entre dois braços é da comunicação ou da espera, e não de duas implementações. "
            "Um limite não é o mesmo, e pesa: quantos pedidos esperam ao mesmo tempo. No laço são "
            f"{count(ACTIVE_MAX)} por padrão; com threads, tantos quantas elas são, e por isso o nome do "
            "braço diz quantas. "
            f"Braços medidos aqui: {'; '.join([arm_label(gathered.groups, arm) for arm in arms])}."
        ),
        Paragraph(
            "A hipótese do curso é que a arquitetura síncrona tenha latência baixa em volume baixo e "
            "sofra com gargalos e acoplamento sob carga alta, em que um serviço lento prejudica toda a "
            "cadeia. Ela é posta à prova em [A hipótese do curso](#a-hipótese-do-curso)."
        ),
        Paragraph(
            "Toda figura e toda frase com número é calculada dos dados guardados. Uma diferença só é "
            f"afirmada quando cada lado tem ao menos {count(RUNS_PUBLISHED)} execuções válidas e os "
            "intervalos de 95 % das duas médias não se sobrepõem; quando se "
            "sobrepõem, lê-se “nenhuma diferença demonstrada”. Isso é mais exigente do que um teste "
            "da diferença, e de propósito."
        ),
    ]


def architectures() -> list[Block]:
    """Both architectures, drawn from the table of operations."""
    operations = tuple(
        (
            names.service(row.servico),
            f"`{diagrams.on_the_wire(row, 'grpc')}`",
            f"`{diagrams.on_the_wire(row, 'http')}`",
            row.resumo,
        )
        for row in OPERACOES
    )
    errors = tuple(
        (PROBLEM_TITLE[category], f"`{GRPC_CODE[category]}`", str(STATUS_HTTP[category]))
        for category in GRPC_CODE
    )
    return [
        Heading(2, "Arquiteturas"),
        Paragraph(
            "Cada serviço é um processo com o seu próprio arquivo SQLite. Nenhum lê o arquivo do outro: "
            "tudo o que um sabe do outro veio por uma chamada."
        ),
        Bullets(tuple(f"**{names.service(name)}**: {ROLES[name]}." for name in SERVICOS)),
        Heading(3, "gRPC"),
        Paragraph(
            "Mensagens em Protocol Buffers sobre HTTP/2: um canal por vizinho leva muitas chamadas ao "
            "mesmo tempo. O contrato está em arquivos `.proto`, dos quais o código é gerado."
        ),
        diagrams.architecture("grpc"),
        Heading(3, "REST"),
        Paragraph(
            "Mensagens em JSON sobre HTTP/1.1: uma conexão leva uma chamada de cada vez, e há um conjunto "
            "de conexões por vizinho. O contrato é descrito em OpenAPI 3.1, que cada serviço publica em "
            "`GET /openapi.json`; os erros seguem a RFC 9457."
        ),
        diagrams.architecture("http"),
        Heading(3, "As operações, nos dois protocolos"),
        Paragraph(
            f"As {count(len(OPERACOES))} operações são uma só tabela no código; servidores e clientes de "
            "todos os braços são montados dela."
        ),
        Table(("serviço", "gRPC", "REST", "o que faz"), operations, words=4),
        Heading(3, "Os erros, nos dois protocolos"),
        Table(("erro", "gRPC", "HTTP"), errors, words=2),
        Heading(3, "Duas formas de esperar"),
        diagrams.waiting(),
        Paragraph(
            "Os passos do domínio só esperam por portas. No laço de eventos uma porta suspende; com "
            "threads a mesma porta bloqueia (`sqlite3`, `time.sleep`, um stub bloqueante), e o passo "
            "corre até o fim na primeira vez. O domínio não é copiado."
        ),
        Heading(3, "A vida de um pedido"),
        Paragraph(
            "Os estados são tabelas literais no código, e os desenhos são feitos delas. Um par que não "
            "está na tabela levanta um erro e não muda nada."
        ),
        diagrams.states("pedidos"),
        Folded(
            "Os estados dos outros serviços e do gateway",
            tuple(
                each for each in diagrams.every_state_machine() if each.name != "estados-pedidos"
            ),
        ),
    ]


def implementation() -> list[Block]:
    """How it is built, and the difficulties met with their solutions."""
    return [
        Heading(2, "Implementação"),
        Table(
            ("", "laço de eventos", "threads (controle)"),
            (
                ("gRPC", "`grpc.aio`", "`grpc.server` com um conjunto de threads, stubs bloqueantes"),
                ("REST", "`aiohttp`, servidor e cliente", "servidor WSGI com threads, `requests`"),
                ("banco", "`aiosqlite` numa thread, confirmações compartilhadas",
                 "`sqlite3`, confirmações compartilhadas (`shared`) ou uma por chamada (`plain`)"),
                ("espera do pagamento", "suspende o pedido", "para a thread (`time.sleep`)"),
            ),
            words=3,
        ),
        Bullets((
            "**Confirmar e só então chamar**: nenhuma chamada remota dentro de uma transação.",
            "**Três resultados**: feito, recusado (um não durável) e desconhecido (todo o resto).",
            "**Chave de idempotência**: a mesma chave com o mesmo corpo tem a mesma resposta, sempre.",
            "**Recuperação**: no início e de tempos em tempos, Pedidos retoma cada pedido sem fim.",
            "**Auditoria**: depois de cada carga, todas as regras são conferidas nos bancos.",
        )),
        Heading(3, "Cada serviço"),
        Paragraph(
            "Cada serviço é um cômodo do domínio: os seus estados, o seu esquema, o seu SQL e os seus "
            "passos. O protocolo de um passo (confirmar, chamar o seguinte, desfazer na volta) é escrito "
            "uma vez, e por isso os cômodos são curtos."
        ),
        _rooms(),
        Heading(3, "Dificuldades encontradas e como foram resolvidas"),
        Table(("o que aconteceu", "o que foi feito"), DIFFICULTIES, words=2),
    ]  # fmt: skip


def _rooms() -> Table:
    """A row for each service: what it does, and how much of it there is."""
    rows = []
    for service in SERVICOS:
        table = TABLES.get(service, {})
        states = {state for state, _ in table} | set(table.values())
        rows.append(
            (
                names.service(service),
                ROLES[service],
                count(len(operacoes_de(service))),
                count(len(states - {AUSENTE})),
                count(complexity.room(service)),
            )
        )
    columns = ("serviço", "o que faz", "operações", "estados", "linhas do seu módulo")
    return Table(columns, tuple(rows), words=2)


assert set(ROLES) == set(SERVICOS)
