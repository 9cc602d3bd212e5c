"""What the report calls the arms, the waits and the factors."""

from __future__ import annotations

from typing import Final

from loadgen.report.rendering.numerals import NO_BREAK, count, plain, plural
from loadgen.study.records.plan import NO_WAIT, Wait
from loadgen.study.records.record import Cell

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


# Characters of a commit that are shown.
_COMMIT: Final = 12
_DIRTY: Final = "-dirty"


def commit(version: str) -> str:
    """A version of the code, abridged; that files differed from it stays to be seen."""
    return version[:_COMMIT] + (_DIRTY if version.endswith(_DIRTY) else "")


# What a study says of itself in English, in the report's language; what is not here is quoted.
_DURABILITY: Final = {
    "SQLite, write-ahead log, synchronous=FULL: every answer comes after a flushed commit; commits"
    " are shared by those that wait together, but where a cell's storage is plain": (
        "SQLite com log de escrita (WAL) e synchronous=FULL; toda resposta vem depois de uma confirmação "
        "gravada no disco, e quem espera ao mesmo tempo divide a confirmação, salvo onde o armazenamento é "
        "`plain`"
    ),
}
LIMITS: Final = {
    "one load only: no curve, no knee and no fit of a law": (
        "uma só carga: sem curva, sem joelho e sem ajuste de lei"
    ),
    "three runs of each arm: intervals are shown for the eye, none is published": (
        "três execuções de cada braço: os intervalos são só indicativos, e nenhum é publicado"
    ),
    "three runs at most of ten thousand callers, a factor, an overload, a fault: no verdict": (
        "no máximo três execuções com dez mil clientes, de um fator, de uma sobrecarga, de uma falha: sem "
        "veredito"
    ),
    "with the shop's payment wait four loads are run: no law is fitted to them": (
        "com a espera de pagamento da loja são quatro cargas: nenhuma lei é ajustada a elas"
    ),
}


def durability(recorded: str) -> str:
    """How every arm commits; the study's own words, quoted, where these are not known here."""
    return _DURABILITY.get(recorded, f"“{recorded}”")


def limit(recorded: str) -> str:
    """What a plan says that it leaves out; quoted where it is not one of a preset's."""
    return LIMITS.get(recorded, f"nas suas palavras, “{recorded}”")


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
