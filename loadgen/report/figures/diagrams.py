"""Diagrams as SVG, drawn from the code's own tables: operations, transitions, services.

Colours are variables of the page with a fallback each, so that the same drawing serves the dark
page and stands alone in the Markdown.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Final

from common.contratos import OPERACOES, SERVICOS, Operacao
from common.diagrams import TABLES
from common.servicos.protocolo.transicoes import AUSENTE, Transicoes, terminais
from loadgen.report.rendering import names
from loadgen.report.rendering.document import Drawing
from loadgen.report.rendering.numerals import listed

_STYLE: Final = """<style>
.dg text { font: 13px "DejaVu Sans", "Segoe UI", Helvetica, Arial, sans-serif; fill: var(--ink, #1d2730); }
.dg .name { font-weight: 700; font-size: 14px; text-anchor: middle; }
.dg .mid { text-anchor: middle; } .dg .end { text-anchor: end; }
.dg .small { font-size: 11.5px; fill: var(--soft, #55636f); }
.dg .code { font-family: "DejaVu Sans Mono", Menlo, monospace; font-size: 11.5px; }
.dg .halo { paint-order: stroke; stroke: var(--paper, #ffffff); stroke-width: 5px; stroke-linejoin: round; }
.dg .box { fill: var(--box, #e6eff7); stroke: var(--box-line, #2f6299); stroke-width: 1.5; }
.dg .end-box, .dg .pivot { fill: var(--pivot, #fde8c8); stroke: var(--pivot-line, #b4690e); stroke-width: 2; }
.dg .side { fill: var(--card, #f4f7f9); stroke: var(--soft, #55636f); stroke-width: 1.2; stroke-dasharray: 5 3; }
.dg .store { fill: var(--paper, #ffffff); stroke: var(--soft, #55636f); stroke-width: 1.2; }
.dg .go { fill: none; stroke: var(--box-line, #2f6299); stroke-width: 1.8; }
.dg .back { fill: none; stroke: var(--soft, #55636f); stroke-width: 1.4; stroke-dasharray: 5 4; }
.dg .tip { fill: var(--box-line, #2f6299); } .dg .tip-back { fill: var(--soft, #55636f); }
</style>"""
# How each protocol names an operation on the wire.
PROTOCOLS: Final = {"grpc": "gRPC", "http": "REST"}


def on_the_wire(operation: Operacao, protocol: str) -> str:
    """An operation as the protocol names it: `Pagamentos.ProcessarPagamento`, `POST /pagamentos`."""
    if protocol == "grpc":
        return f"{operation.servico.capitalize()}.{operation.metodo_grpc}"
    return f"{operation.metodo_http} {operation.caminho}"


def chain_of_calls() -> tuple[Operacao, ...]:
    """The calls that carry an order forward, in the order of the chain."""
    return tuple(row for row in OPERACOES if row.classe in {"pedido", "passo"})


def architecture(protocol: str) -> Drawing:
    """The chain in one protocol: a box for each service, an arrow for each call."""
    steps = chain_of_calls()
    width, top, row = 760, 60, 92
    height = top + row * len(steps) + 16
    parts = [_box("side", (250, 8, 240, 36), "Cliente")]
    for at, step in enumerate(steps):
        y = top + at * row + 28
        last = at == len(steps) - 1
        parts += [
            _arrow(350, y - 44 if at else 44, y, "go"),
            _arrow(390, y, y - 44 if at else 44, "back"),
            (f'<text class="code halo end" x="338" y="{y - 16 if at else 70}">'
            f"{escape(on_the_wire(step, protocol))}</text>"),
            f'<text class="small" x="402" y="{y - 16 if at else 70}">resposta</text>',
            _box("pivot" if last else "box", (250, y, 240, 48), names.service(step.servico),
                 f"confirmação {at + 1}: {step.servico}.db"),
            (f'<path class="store" d="M540 {y + 10}v28a30 8 0 0 0 60 0v-28a30 8 0 0 0 -60 0'
            f'a30 8 0 0 0 60 0"/>'),
            f'<path class="back" d="M490 {y + 24}H540"/>',
            f'<text class="small" x="610" y="{y + 30}">{step.servico}.db</text>',
        ]  # fmt: skip
    first, second = top + 28, top + row + 28
    parts += [
        _box("side", (20, first + 6, 130, 36), "Catálogo"),
        f'<path class="back" d="M250 {first + 24}H150"/>',
        _box("side", (20, second + 6, 130, 36), "Gateway"),
        f'<path class="back" d="M250 {second + 24}H150"/>',
    ]
    calls = [on_the_wire(step, protocol) for step in steps]
    return Drawing(
        name=f"arquitetura-{protocol}",
        svg=_svg(width, height, parts, f"A cadeia em {PROTOCOLS[protocol]}"),
        caption=f"A cadeia em {PROTOCOLS[protocol]}: cada serviço confirma no próprio banco antes "
        "de chamar o seguinte e só responde depois da resposta de baixo. O último, com borda "
        "grossa, decide o pedido.",
        description=f"Cliente chama {listed(calls)}, um serviço depois do outro; as respostas "
        "voltam pelo mesmo caminho.",
    )


def states(name: str, table: Transicoes | None = None) -> Drawing:
    """A state machine, ranked from top to bottom by its longest way from the start."""
    table = TABLES[name] if table is None else table
    ranks = _ranks(table)
    places = _places(ranks)
    ends = terminais(table)
    height = 46 + 92 * max(ranks.values()) + 50
    events: dict[tuple[str, str], list[str]] = {}
    for (state, event), following in table.items():
        events.setdefault((state, following), []).append(event)
    edges, labels = [], []
    for (state, following), each in events.items():
        edge, label = _edge(places, ranks, state, following, ", ".join(each))
        edges.append(edge)
        labels.append(label)
    boxes = []
    for state, (x, y) in places.items():
        if state == AUSENTE:
            boxes.append(f'<circle class="tip" cx="{x}" cy="{y + 17}" r="9"/>')
        else:
            kind = "end-box" if state in ends else "box"
            boxes.append(_box(kind, (x - 95, y, 190, 34), state))
    told = [
        f"de {state} a {following} por {', '.join(each)}"
        for (state, following), each in events.items()
    ]
    return Drawing(
        name=f"estados-{name}",
        svg=_svg(760, height, [*edges, *labels, *boxes], f"Estados de {name}"),
        caption=f"Estados de {names.service(name)}; o ponto é “ainda não há linha”, borda grossa é "
        "estado final.",
        description=f"Máquina de estados de {name}: {'; '.join(told)}.",
    )


def every_state_machine() -> list[Drawing]:
    """One drawing for each table of transitions."""
    return [states(name) for name in TABLES]


def waiting() -> Drawing:
    """What the two I/O models do while an order waits: a thread is held, a loop goes on."""
    parts = ['<text class="name" x="190" y="22">Threads: quem espera ocupa</text>',
             '<text class="name" x="570" y="22">Laço de eventos: quem espera guarda o lugar</text>']  # fmt: skip
    for at in range(3):
        y = 46 + at * 42
        held = at < 2
        parts.append(_box("box" if held else "side", (20, y, 340, 30), "",
                          f"pedido {at + 1}: " + (f"thread {at + 1} parada até a resposta" if held else "na fila: não há thread livre")))  # fmt: skip
        parts.append(f'<text class="small end" x="452" y="{y + 20}">pedido {at + 1}</text>')
        parts.append(_stretch("box", 460 + at * 24, y + 3, 22))
        parts.append(f'<path class="back" d="M{484 + at * 24} {y + 15}H{650 + at * 24}"/>')
        parts.append(_stretch("box", 652 + at * 24, y + 3, 22))
    parts.append(
        '<text class="small mid" x="600" y="190">tracejado: espera sem ocupar thread</text>'
    )
    parts.append('<text class="small mid" x="190" y="190">duas threads, três pedidos</text>')
    return Drawing(
        name="modelos-de-espera",
        svg=_svg(760, 204, parts, "Os dois modelos de espera"),
        caption="O que muda entre os modelos de E/S é só isto: com threads, cada pedido em espera "
        "ocupa uma; no laço de eventos, uma única thread atende todos e a espera não ocupa nada.",
        description="À esquerda duas threads paradas em dois pedidos e um terceiro na fila; à "
        "direita um laço que começa os três pedidos e espera por todos ao mesmo tempo.",
    )  # fmt: skip


def _stretch(kind: str, x: int, y: int, width: int) -> str:
    return f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="24" rx="3"/>'


def _ranks(table: Transicoes) -> dict[str, int]:
    """The longest way to each state from the start; tables have no way back."""
    ranks: dict[str, int] = {AUSENTE: 0}
    for _ in range(len(table) + 1):
        for (state, _event), following in table.items():
            if state in ranks:
                ranks[following] = max(ranks.get(following, 0), ranks[state] + 1)
    return ranks


def _places(ranks: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """The middle of the top edge of each state's box."""
    places: dict[str, tuple[int, int]] = {}
    for rank in sorted(set(ranks.values())):
        states = [state for state, at in ranks.items() if at == rank]
        room = 760 / (len(states) + 1) if len(states) > 2 else 240
        left = 380 - room * (len(states) - 1) / 2
        # A lone state stands on the left third, out of the way of edges that pass it by.
        for at, state in enumerate(states):
            x = left + at * room if len(states) > 1 else 260
            places[state] = (round(x), 10 + 92 * rank)
    return places


def _edge(
    places: Mapping[str, tuple[int, int]],
    ranks: Mapping[str, int],
    state: str,
    following: str,
    text: str,
) -> tuple[str, str]:
    """A curve from one box to the next below, and its label."""
    (x0, y0), (x1, y1) = places[state], places[following]
    start = y0 + (26 if state == AUSENTE else 34)
    skipped = ranks[following] - ranks[state] - 1
    # What passes by other ranks swings out, the further the more.
    swing = 90 + 45 * skipped if skipped else 0
    middle_y = (start + y1) / 2
    c0, c1 = x0 + swing * 1.6, x1 + swing
    path = (
        f'<path class="go" d="M{x0 + min(swing, 40)} {start}C{c0:.0f} {middle_y:.0f} '
        f'{c1:.0f} {middle_y:.0f} {x1} {y1 - 7}"/>'
        f'<path class="tip" d="M{x1} {y1}l-5 -9h10z"/>'
    )
    t = 0.5 if not skipped else 0.3
    label_x = _bezier(x0 + min(swing, 40), c0, c1, x1, t)
    label_y = _bezier(start, middle_y, middle_y, y1, t) + 4
    label = f'<text class="small halo mid" x="{label_x:.0f}" y="{label_y:.0f}">{text}</text>'
    return path, label


def _bezier(p0: float, p1: float, p2: float, p3: float, t: float) -> float:
    u = 1 - t
    return u**3 * p0 + 3 * u * u * t * p1 + 3 * u * t * t * p2 + t**3 * p3


def _arrow(x: int, y0: int, y1: int, kind: str) -> str:
    way = 1 if y1 > y0 else -1
    tip = "tip" if kind == "go" else "tip-back"
    return (
        f'<path class="{kind}" d="M{x} {y0}V{y1 - 8 * way}"/>'
        f'<path class="{tip}" d="M{x} {y1}l-5 {-9 * way}h10z"/>'
    )


def _box(kind: str, place: tuple[int, int, int, int], name: str, below: str = "") -> str:
    """A box at (x, y, width, height), with a name and a smaller line below it."""
    x, y, width, height = place
    middle = x + width / 2
    text = f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}" rx="7"/>'
    if name:
        at = y + height / 2 + (5 if not below else -3)
        text += f'<text class="name" x="{middle:g}" y="{at:g}">{escape(name)}</text>'
    if below:
        at = y + height / 2 + (16 if name else 4)
        text += f'<text class="small mid" x="{middle:g}" y="{at:g}">{escape(below)}</text>'
    return text


def _svg(width: int, height: int, parts: list[str], title: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="dg" viewBox="0 0 {width} {height}" '
        f'role="img"><title>{escape(title)}</title>{_STYLE}'
        f'<rect width="{width}" height="{height}" fill="var(--paper, #ffffff)"/>'
        f"{''.join(parts)}</svg>"
    )


assert len(chain_of_calls()) == len(SERVICOS) - 1, "one forward call for each service but Catalogo"
