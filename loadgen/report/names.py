"""What the report calls the arms, the waits and the factors."""

from __future__ import annotations

from typing import Final

from loadgen.report.numerals import NO_BREAK, count, plain, plural
from loadgen.study.plan import NO_WAIT, Wait
from loadgen.study.record import Cell

# In the order in which they are shown; the index is also the arm's look in every chart.
ARMS: Final = {
    "grpc": f"gRPC{NO_BREAK}(laço)",
    "http": f"REST{NO_BREAK}(laço)",
    "grpc-threads": f"gRPC{NO_BREAK}(threads)",
    "http-threads": f"REST{NO_BREAK}(threads)",
    "bare-grpc": f"gRPC{NO_BREAK}(cadeia nua)",
    "bare-http": f"REST{NO_BREAK}(cadeia nua)",
}
# The two questions: the protocol with the I/O model held, the I/O model with the protocol held.
PROTOCOL_PAIRS: Final = (("grpc", "http"), ("grpc-threads", "http-threads"))
MODEL_PAIRS: Final = (("grpc", "grpc-threads"), ("http", "http-threads"))
SERVICES: Final = {
    "pedidos": "Pedidos",
    "pagamentos": "Pagamentos",
    "estoque": "Estoque",
    "fiscal": "Fiscal",
    "logistica": "Logística",
    "catalogo": "Catálogo",
    "gateway": "Gateway",
    "cliente": "cliente",
    "generator": "gerador de carga",
}


def arm(name: str) -> str:
    """An arm's name for readers; one that this list does not know keeps its own."""
    return ARMS.get(name, name)


def of(cell: Cell) -> str:
    """The name of a cell's arm; with threads, how many each service has, for that decides much."""
    if cell.workers is None:
        return arm(cell.arm)
    protocol, _, _ = arm(cell.arm).partition(NO_BREAK)
    return f"{protocol}{NO_BREAK}({count(cell.workers)}{NO_BREAK}threads)"


def look(name: str) -> int:
    """The look of an arm in charts."""
    return list(ARMS).index(name) if name in ARMS else len(ARMS)


def service(name: str) -> str:
    """A service's name for readers."""
    return SERVICES.get(name, name)


def wait(value: Wait) -> str:
    """The simulated payment: `sem espera de pagamento`, `pagamento de 0,5 a 1,5 s`."""
    if value == NO_WAIT:
        return "sem espera de pagamento"
    return f"pagamento de {plain(value[0])} a {plain(value[1])} s"


def load(cell: Cell) -> str:
    """The load of a cell: callers of a closed loop, or the rate of an open one."""
    if cell.concurrency is not None:
        return plural(cell.concurrency, "cliente simultâneo", "clientes simultâneos")
    if cell.rate_per_s is not None:
        return f"{plain(cell.rate_per_s)} pedidos/s oferecidos"
    return "carga em degraus"
