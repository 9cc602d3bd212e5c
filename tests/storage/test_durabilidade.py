"""Durability on disk: a power cut takes no acknowledged work, and no answer overtakes its flush."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import sys
import time
from contextlib import AbstractAsyncContextManager, closing
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import pytest

from common import contratos as c
from common.audit import audit
from common.servicos.protocolo.tabelas import Facts, Query, Table
from common.storage import connection
from common.storage.event_loop import Storage
from common.storage.files import SALAS, Sala, database_path, prepare
from loadgen.chaos.customers.customer import Customer
from loadgen.workload.history import Line
from tests.support import tracing
from tests.support.arms import ARMS
from tests.support.chain import basket
from tests.support.cluster import Cluster, open_cluster
from tests.support.power_cut import Cut, Disk, mounted
from tests.support.processes import Process

if TYPE_CHECKING:
    from pathlib import Path

    from common.storage.connection import Synchronous

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Pages of a log so short that a few dozen units see it wrap.
SHORT_LOG: Final = 24
UNITS: Final = 8
# What a unit writes beside the counter: more than a page, so that a commit is several frames.
FILLING: Final = 6_000
SALA: Final = Sala(
    "banco",
    """
CREATE TABLE valores (n INTEGER PRIMARY KEY, texto TEXT NOT NULL);
CREATE TABLE contador (id INTEGER PRIMARY KEY, ultimo INTEGER NOT NULL);
INSERT INTO contador VALUES (1, 0);
""",
)


class Valor(NamedTuple):
    """What a unit writes beside the counter."""

    n: int
    texto: str


class Contador(NamedTuple):
    """The counter."""

    id: int
    ultimo: int


class Tamanho(NamedTuple):
    """How long the text of a number is."""

    n: int
    tamanho: int


class Nome(NamedTuple):
    """The name of a table."""

    name: str


VALORES: Table[int, Valor] = Table("valores", Valor, "n")
CONTADOR: Table[int, Contador] = Table("contador", Contador, "id", changes=("ultimo",))
TAMANHOS: Query[Tamanho] = Query("SELECT n, length(texto) FROM valores ORDER BY n", Tamanho)

NOMES: Query[Nome] = Query("SELECT name FROM sqlite_master WHERE name = ?", Nome)


def _put(facts: Facts) -> int:
    """A unit: the next number, in two tables."""
    contador = facts.get(CONTADOR, 1)
    assert contador is not None
    n = contador.ultimo + 1
    facts.change(CONTADOR, Contador(1, n))
    facts.insert(VALORES, Valor(n, f"{n:06d}" * (FILLING // 6)))
    return n


async def _written(banco: Storage) -> int:
    return await banco.unit(None, (CONTADOR.of(1),), _put)


def _held(look: Any) -> int:
    """How many units the file holds; they must be the first ones, and whole."""
    assert look.select(NOMES, "reserva") == []
    last = look.get(CONTADOR, 1).ultimo
    assert look.select(TAMANHOS) == [(n, FILLING) for n in range(1, last + 1)]
    return last


async def _live(
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    synchronous: Synchronous,
    *,
    honest: bool = True,
) -> list[Cut]:
    """A storage's life, cut at every change that its disk sees; each with what was acknowledged.

    It is made, filled until its log has wrapped, closed and opened again. Then its process is
    killed, with commits in a log that the next start finds too short and reserves anew.
    """
    cuts: list[Cut] = []
    acknowledged = 0

    def watched(disk: Disk) -> Disk:
        disk.watch = lambda: cuts.append(disk.cut(acknowledged))
        return disk

    async def filled(path: Path) -> Storage:
        nonlocal acknowledged
        banco = await Storage.open(path, synchronous=synchronous)
        for _ in range(UNITS):
            acknowledged = await _written(banco)
        return banco

    disk = Disk(directory / "first", honest=honest)
    disk.root.mkdir()
    sala = SALA._replace(synchronous=synchronous)
    monkeypatch.setattr(connection, "PAGES_PER_CHECKPOINT", SHORT_LOG)
    with mounted(watched(disk)):
        await (await filled(prepare(disk.root, sala, None))).close()
        killed = await filled(prepare(disk.root, sala, None))
    heir = disk.after_kill(directory / "second")
    disk.watch = lambda: None
    await killed.close()
    monkeypatch.setattr(connection, "PAGES_PER_CHECKPOINT", 2 * SHORT_LOG)
    with mounted(watched(heir)):
        # Not prepared first: as when an auditor reads, and the log is kept as it was left.
        await (await filled(database_path(heir.root, sala.nome))).close()
    assert acknowledged == 3 * UNITS
    return cuts


async def _found(directory: Path) -> int:
    """Start on what a cut left, by ordinary SQLite, and write on; how many units were there."""
    path = prepare(directory, SALA._replace(synchronous="OFF"), None)
    with closing(sqlite3.connect(path)) as con:
        assert con.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    banco = await Storage.open(path, synchronous="OFF")
    found = await banco.read(None, (CONTADOR.of(1),), _held)
    assert await _written(banco) == found + 1
    await banco.close()
    shutil.rmtree(directory)
    return found


async def test_a_power_cut_at_any_change_takes_no_acknowledged_unit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At FULL, also while the file is made, its log reserved, wrapped or left by a kill."""
    cuts = _distinct(await _live(tmp_path, monkeypatch, "FULL"))
    logs = [cut.dropped().get("banco.db-wal", b"") for cut in cuts if cut.mark == 0]
    assert len(logs[-1]) > SHORT_LOG // 3 * 4_096, "the first commit flushes the reservation too"
    for number, cut in enumerate(cuts):
        assert await _found(cut.restore(tmp_path / "image")) >= cut.mark, number


async def test_a_power_cut_that_leaves_some_of_the_unflushed_takes_no_acknowledged_unit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sectors and names that were not flushed are there or not, as drawn from the cut's number."""
    for number, cut in enumerate((await _live(tmp_path, monkeypatch, "FULL"))[::3]):
        image = cut.restore(tmp_path / "image", torn=Random(number))
        assert await _found(image) >= cut.mark, number


async def test_a_kill_at_any_change_while_the_file_is_made_leaves_one_that_can_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything written is there; also a rollback journal, when its time is just that."""
    making = [cut for cut in await _live(tmp_path, monkeypatch, "FULL") if cut.mark == 0]
    assert any("banco.db-journal" in cut.current for cut in making)
    for cut in making:
        await _found(cut.restore(tmp_path / "image", outside=lambda name: True))


async def test_at_normal_a_power_cut_takes_what_came_after_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than one acknowledged unit may be gone; the file is whole, as after an earlier one."""
    kept_and_lost = set()
    for number, cut in enumerate(_distinct(await _live(tmp_path, monkeypatch, "NORMAL"))):
        for torn in (None, Random(number)):
            kept = await _found(cut.restore(tmp_path / "image", torn=torn))
            kept_and_lost.add((kept > 0, cut.mark - kept > 1))
    assert (True, True) in kept_and_lost


async def test_a_disk_that_breaks_its_word_about_a_flush_loses_acknowledged_units(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the promise ends: FULL is worth what the disk's flush is worth."""
    cut = (await _live(tmp_path, monkeypatch, "FULL", honest=False))[-1]
    assert cut.mark == 3 * UNITS
    assert await _found(cut.restore(tmp_path / "image")) == 0


def _distinct(cuts: list[Cut]) -> list[Cut]:
    """The cuts that leave different files; of those alike the last, which promised the most."""
    changing = [one for one, then in pairwise(cuts) if one.dropped() != then.dropped()]
    return [*changing, cuts[-1]]


# --- the whole cluster ----------------------------------------------------------------------------

ORDERS: Final = 48
CALLERS: Final = 12
# Units of each product: a few orders find none left.
STOCK: Final = 24
APPROVAL: Final = 0.8
# Changes of any file between two cuts, at most; how many of the cuts are restored and judged.
BETWEEN: Final = 40
JUDGED: Final = 3
# Seconds that every order has to end in after a restart.
LIMIT_S: Final = 20.0


class _Told(list[Line]):
    """What the customers asked and were told, as a history that is kept in memory."""

    write = list.append

    @property
    def ended(self) -> dict[str, c.PedidoResponse]:
        """The terminal answers by key."""
        return {
            line.key: line.answer
            for line in self
            if line.answer is not None and line.answer.status in {"enviado", "cancelado"}
        }

    @property
    def asked(self) -> list[str]:
        """The keys that were used."""
        return sorted({line.key for line in self})

    def save(self, path: Path) -> Path:
        """Write it as the audit reads it."""
        path.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in self))
        return path


def _request(key: str) -> c.CriarPedidoRequest:
    """What a customer asks for under a key: always the same."""
    number = int(key)
    body = basket((1 + number % 7, 1 + number % 2), (8, 1), cliente_id=1 + number % 5)
    return msgspec.convert(body, c.CriarPedidoRequest)


async def _buy(cluster: Cluster, told: _Told, keys: list[str], first: int = 0) -> None:
    """Each key is asked until its order has ended, a dozen at once; callers count from `first`."""
    customer = Customer(cluster.client("pedidos"), told, attempt_s=LIMIT_S, seed=1)
    waiting = list(enumerate(keys, first))

    async def call() -> None:
        while waiting:
            caller, key = waiting.pop(0)
            until = time.monotonic() + LIMIT_S
            assert await customer.buy(caller, key, _request(key), until=until)

    await asyncio.gather(*(call() for _ in range(CALLERS)))


async def _cuts(arm: str, shop: Path, root: Path, *stopped: str) -> tuple[_Told, list[Cut]]:
    """Orders bought at once on a disk whose power is cut at random; the cuts mark what was told.

    The last cut comes when every order has ended and the services `stopped` are, in good order.
    """
    draw = Random(f"power cut {arm}")
    told, cuts = _Told(), list[Cut]()
    disk = Disk(root)
    left = draw.randint(1, BETWEEN)

    def watch() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            cuts.append(disk.cut(len(told)))
            left = draw.randint(1, BETWEEN)

    with mounted(disk):
        async with _open(arm, root, shop) as cluster:
            disk.watch = watch
            await _buy(cluster, told, [str(number) for number in range(ORDERS)])
            await cluster.idle()
            disk.watch = lambda: None
            await cluster.stop(*stopped)
            cuts.append(disk.cut(len(told)))
    return told, draw.sample(cuts[:-1], JUDGED - 1) + cuts[-1:]


def _open(arm: str, root: Path, shop: Path) -> AbstractAsyncContextManager[Cluster]:
    return open_cluster(
        arm, root, shop, stock=STOCK, payment_approval=APPROVAL, sweep_interval_s=0.05
    )


async def _all_end(cluster: Cluster) -> None:
    """Wait until the sweep has brought every order to its end."""
    still = "SELECT 1 FROM pedidos WHERE origem = 'loja' AND status IN ('pendente', 'cancelando')"
    async with asyncio.timeout(LIMIT_S):
        while cluster.rows("pedidos", still):
            await asyncio.sleep(0.01)
    await cluster.idle()
    await cluster.quiet()


def _judged(image: Path, told: _Told) -> dict[str, int]:
    """What the audit has to say against it: violations by rule."""
    history = told.save(image / "history.jsonl")
    report = audit(image, history=history, settled=True, complete=True)
    return {check.id: check.total for check in report.checks if check.total}


async def test_a_power_cut_in_the_middle_of_the_orders_loses_none_that_was_acknowledged(
    arm: str, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six services at FULL lose their power at one instant; what clients were told still holds."""
    monkeypatch.setattr(connection, "PAGES_PER_CHECKPOINT", 2 * SHORT_LOG)
    everything, cuts = await _cuts(arm, shop, tmp_path / "running")
    for number, cut in enumerate(cuts):
        for name, torn in (("dropped", None), ("torn", Random(number))):
            image = cut.restore(tmp_path / f"{number} {name}", torn=torn)
            told = _Told(everything[: cut.mark])
            before = told.ended
            async with _open(arm, image, shop) as cluster:
                await _all_end(cluster)
                # Others than those who never heard the end of their call.
                await _buy(cluster, told, told.asked, first=ORDERS)
                await cluster.quiet()
            assert told.ended.items() >= before.items(), "a terminal answer was another one before"
            assert _judged(image, told) == {}
    assert before.keys() == set(map(str, range(ORDERS)))


async def test_at_normal_a_power_cut_loses_acknowledged_orders_and_the_books_disagree(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file is whole, as it was at its own last checkpoint; together they are no shop."""
    # Long enough for none but the service that is stopped to reach a checkpoint.
    monkeypatch.setattr(connection, "PAGES_PER_CHECKPOINT", 40 * SHORT_LOG)
    for nome, sala in list(SALAS.items()):
        monkeypatch.setitem(SALAS, nome, sala._replace(synchronous="NORMAL"))
    told, cuts = await _cuts("http", shop, tmp_path / "running", "logistica")
    for number, torn in enumerate((None, Random(1), Random(2))):
        image = cuts[-1].restore(tmp_path / str(number), torn=torn)
        for nome in SALAS:
            with closing(sqlite3.connect(database_path(image, nome))) as con:
                assert con.execute("PRAGMA integrity_check").fetchall() == [("ok",)], nome
    dropped = tmp_path / "0"
    async with _open("http", dropped, shop) as cluster:
        await _all_end(cluster)
        assert cluster.orders() == 0
        shipped = "SELECT count(*) FROM envios WHERE origem = 'loja'"
        assert cluster.value("logistica", shipped) > 0
    assert len(told.ended) == ORDERS
    assert _judged(dropped, told)["history-lost"] == ORDERS


# --- the flush comes before the answer ------------------------------------------------------------

TRACED: Final = ("logistica", "pedidos")
TRACED_ORDERS: Final = 6
# Runs an arm's module as it is, but for a log so short that its reservation does not fill the trace.
AS_IT_IS: Final = """
import runpy
from common.servicos.protocolo.tabelas import Facts, Query, Table
from common.storage import connection
connection.PAGES_PER_CHECKPOINT = {pages}
runpy.run_module({module!r}, run_name="__main__", alter_sys=True)
"""
# The same with its storage at another setting than the one promised.
AT_NORMAL: Final = (
    """
from common.storage.files import SALAS
for nome, sala in SALAS.items():
    SALAS[nome] = sala._replace(synchronous="NORMAL")
"""
    + AS_IT_IS
)


async def _overtaken(arm: str, shop: Path, root: Path, script: str) -> list[dict[str, str]]:
    """Orders one after the other; the answers of each traced service that overtook their flush."""
    if tracing.refusal():
        pytest.skip(tracing.refusal())
    code = script.format(module=ARMS[arm].module, pages=10 * SHORT_LOG)
    command = (sys.executable, "-c", code)
    processes: list[Process] = []
    traces = {servico: root / f"{servico}.trace" for servico in TRACED}
    async with open_cluster(arm, root / "data", shop) as cluster:
        try:
            await cluster.stop(*TRACED)
            for servico, trace in traces.items():
                started = Process.start(cluster, servico, tracing.traced(trace, command))
                processes.append(await started)
            answers = [(await cluster.create()).body for _ in range(TRACED_ORDERS)]
        finally:
            for process in processes:
                await process.kill()
    words = [answer["envio"]["codigo_rastreamento"] for answer in answers]
    return [tracing.unflushed(await tracing.read(trace), words) for trace in traces.values()]


async def test_the_log_is_flushed_before_the_answer_is_sent(
    arm: str, shop: Path, tmp_path: Path
) -> None:
    """Seen in the system calls of the first service and the last, for each of their answers."""
    assert await _overtaken(arm, shop, tmp_path, AS_IT_IS) == [{}, {}]


async def test_at_normal_the_answer_is_sent_with_its_log_unflushed(
    shop: Path, tmp_path: Path
) -> None:
    """The trace can tell the difference: at NORMAL no commit waits for the disk."""
    for overtaken in await _overtaken("http", shop, tmp_path, AT_NORMAL):
        assert len(overtaken) == TRACED_ORDERS
        assert all("not flushed between" in problem for problem in overtaken.values())
