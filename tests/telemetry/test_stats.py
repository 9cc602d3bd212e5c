"""What a service tells of its inside: the lines, the loop's lag, and Little's law from them."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.arms import LOOP_ARMS
from common.contratos import SERVICOS
from common.process.preflight import remove_data
from common.runtime.loop_lag import LoopLag
from common.settings import stats_path
from common.telemetry.in_flight import InFlight
from common.telemetry.meters import Lag, Meters, Taken
from common.telemetry.stats import Line, PoolLine, Sampler
from loadgen.attribution.little import StatsError, littles_law, read_lines, read_stats
from tests.conftest import OpenCluster

INTERVAL_S = 0.02


class Writer:
    """A storage that has counted."""

    queue = 3
    batches = 5
    units = 40
    commit_s = 0.25


class Places:
    """An edge with orders in front of it."""

    driven = 7
    waiting = 2


class Probe:
    """A loop whose lag is known."""

    def read(self) -> Lag:
        """Since the last reading."""
        return Lag(1.0, 2.0)

    def recent(self) -> Lag:
        """Of the last seconds."""
        return Lag(9.0, 9.0)

    def close(self) -> None:
        """Nothing to close."""


def idle() -> Meters:
    """The meters of a service that has nothing to count."""
    return Meters("pedidos", InFlight())


def sampler(path: Path, meters: Meters) -> Sampler:
    """One that writes often."""
    return Sampler(path, meters, interval_s=INTERVAL_S)


def test_uma_linha_diz_o_que_ha(tmp_path: Path) -> None:
    """Every gauge that an arm has filled in is in the lines; what it lacks is null, never nought."""
    busy = InFlight()
    busy.total, busy.passos = 4, 1
    meters = Meters("pedidos", busy)
    meters.durations("criar_pedido").note(0.5)
    meters.durations("criar_pedido", "sobrecarga").note(0.25)
    meters.durations("listar_clientes")
    meters.writer, meters.places, meters.lag = Writer(), Places(), Probe()
    meters.closed = {"pagamentos": lambda: False, "catalogo": lambda: True}
    path = tmp_path / "stats" / "pedidos.jsonl"
    telling = sampler(path, meters)
    telling.start()
    before = telling._collector.collections
    gc.collect()
    telling.stop()
    line = read_lines(path)[-1]
    assert (line.service, line.in_flight, line.in_flight_now, line.steps_now) == (
        "pedidos",
        4,
        4,
        1,
    )
    assert line.operations == {"criar_pedido": (2, 0.75)}
    assert (line.queue, line.batches, line.units, line.commit_s) == (3, 5, 40, 0.25)
    assert (line.driven, line.waiting) == (7, 2)
    assert line.open_breakers == ["pagamentos"]
    assert line.loop == Lag(1.0, 2.0)
    assert line.collections > before
    assert line.cpu_s > 0

    bare = sampler(tmp_path / "bare.jsonl", idle())
    bare.start()
    bare.stop()
    line = read_lines(tmp_path / "bare.jsonl")[-1]
    assert (line.driven, line.waiting, line.loop, line.pool) == (None, None, None, None)
    assert (line.queue, line.batches, line.units, line.commit_s) == (None, None, None, None)
    assert (line.operations, line.open_breakers) == ({}, [])


def test_quem_recomeca_continua_o_arquivo(tmp_path: Path) -> None:
    """A process that was started again adds its lines; a line that was cut off is left out."""
    path = tmp_path / "pedidos.jsonl"
    for _ in range(2):
        telling = sampler(path, idle())
        telling.start()
        telling.stop()
    lines = read_lines(path)
    assert len(lines) >= 2
    with path.open("ab") as file:
        file.write(b'{"service": "pedi')
    assert read_lines(path) == lines


def test_linha_estragada_e_nomeada(tmp_path: Path) -> None:
    """A line in the middle that is none is refused with its file and number."""
    path = tmp_path / "pedidos.jsonl"
    path.write_bytes(b"{}\n")
    with pytest.raises(StatsError, match=r"pedidos.jsonl, line 1"):
        read_lines(path)
    with pytest.raises(StatsError, match="No such file"):
        read_lines(tmp_path / "none.jsonl")


def test_arquivo_que_nao_se_pode_escrever_e_erro_ao_comecar(tmp_path: Path) -> None:
    """A service that cannot tell says so at its start, and leaves nothing behind."""
    (tmp_path / "pedidos.jsonl").mkdir()
    watching, threads = len(gc.callbacks), threading.active_count()
    with pytest.raises(IsADirectoryError):
        sampler(tmp_path / "pedidos.jsonl", idle()).start()
    assert (len(gc.callbacks), threading.active_count()) == (watching, threads)


def test_comecar_de_novo_apaga_as_linhas(tmp_path: Path) -> None:
    """A fresh data directory has no lines of services that ran before, and strangers keep theirs."""
    stranger = tmp_path / "stats" / "mine.jsonl"
    stranger.parent.mkdir()
    stranger.write_text("kept")
    for servico in SERVICOS:
        stats_path(tmp_path, servico).write_text("old")
    remove_data(tmp_path)
    assert list(stranger.parent.iterdir()) == [stranger]


async def test_atraso_do_laco_aparece() -> None:
    """A loop that was held is late by that much, also while it is still held."""
    lag = LoopLag()
    try:
        await asyncio.sleep(0.05)
        time.sleep(0.3)
        held = lag.read()
        assert held.max_ms >= 270
        assert 0 < held.mean_ms <= held.max_ms
        await asyncio.sleep(0)  # the wake-up that was overdue is told once more, as it comes
        await asyncio.sleep(0.05)
        lag.read()
        await asyncio.sleep(0.05)
        assert lag.read().max_ms < held.max_ms
    finally:
        lag.close()


# --- Little's law ---------------------------------------------------------------------------------


def _line(
    t: float, in_flight: float, ended: int, seconds: float, pid: int = 1, looks: int = 10
) -> Line:
    return Line(
        service="fiscal", pid=pid, t=t, time=0.0, in_flight=in_flight, in_flight_now=0,
        steps_now=0, looks=looks, operations={"emitir_nota_fiscal": (ended, seconds)}, queue=0,
        batches=0, units=0, commit_s=0.0, open_breakers=[], driven=None, waiting=None, loop=None, pool=None,
        collections=0, collecting_s=0.0, threads=1, cpu_s=0.0,
    )  # fmt: skip


def _window(lines: int, looks: int, per_line: int, mean_s: float, share: float = 1.0) -> list[Line]:
    """Lines a second apart; in flight is this share of what rate and time come to."""
    flight = per_line * mean_s * share
    return [
        _line(t, flight, 100 + t * per_line, 3 + t * per_line * mean_s, looks=looks)
        for t in range(lines)
    ]


@given(st.integers(100, 10_000), st.floats(0.1, 10), st.integers(12, 50))
def test_lei_de_little_vale_quando_os_instrumentos_valem(
    per_s: int, mean_s: float, lines: int
) -> None:
    """Where L is the rate times the mean time there is no gap; an L half as large shows as one."""
    exact = littles_law(_window(lines, 100, per_s, mean_s), 0, lines)
    assert exact is not None
    assert exact.seconds == lines - 1
    assert (exact.looks, exact.calls) == (100 * (lines - 1), per_s * (lines - 1))
    assert exact.per_s == pytest.approx(per_s)
    assert exact.mean_s == pytest.approx(mean_s)
    assert exact.gap == pytest.approx(0, abs=1e-6)
    half = littles_law(_window(lines, 100, per_s, mean_s, 0.5), 0, lines)
    assert half is not None
    assert half.gap == pytest.approx(1)


@pytest.mark.parametrize(
    ("looks", "per_line", "mean_s", "told"),
    [
        (100, 20, 0.1, True),  # 1,000 looks, 200 calls, 2 in flight
        (99, 20, 0.1, False),
        (100, 19, 0.2, False),
        (100, 20, 0.07, False),  # 1,000 looks saw 1,400 calls
    ],
)
def test_lei_de_little_cala_sobre_o_pouco(
    looks: int, per_line: int, mean_s: float, told: bool
) -> None:
    """Below a number of looks, of calls or of calls seen there are figures and no verdict."""
    found = littles_law(_window(11, looks, per_line, mean_s), 0, 11)
    assert found is not None
    assert (found.gap is not None) is told


def test_lei_de_little_conta_a_fila_por_um_trabalhador() -> None:
    """Calls that wait for a worker are in flight at the hop; the time of a call holds that wait."""
    lines = [
        msgspec.structs.replace(
            line, pool=PoolLine(10, 30.0, 30, 1.0, Taken(int(line.t) * 100, line.t * 30.0))
        )
        for line in _window(11, 100, 100, 0.4, 0.25)
    ]
    found = littles_law(lines, 0, 11)
    assert found is not None
    assert found.in_flight == pytest.approx(40)
    assert found.mean_s == pytest.approx(0.4)
    assert found.gap == pytest.approx(0, abs=1e-6)


def test_lei_de_little_quer_uma_janela_de_um_so_processo() -> None:
    """One line, two processes or no call that ended say nothing."""
    assert littles_law([], 0, 9) is None
    assert littles_law([_line(1, 1, 1, 1)], 0, 9) is None
    assert littles_law([_line(1, 1, 1, 1), _line(2, 1, 5, 2, pid=2)], 0, 9) is None
    assert littles_law([_line(1, 1, 5, 2), _line(2, 1, 5, 2)], 0, 9) is None
    outside = [_line(0, 50, 0, 0), _line(1, 9, 0, 0), _line(2, 2, 10, 2), _line(9, 70, 99, 99)]
    found = littles_law(outside, 1, 2)
    assert found is not None
    assert (found.in_flight, found.per_s, found.mean_s, found.gap) == (2, 10, 0.2, None)


# --- a real service -------------------------------------------------------------------------------


@pytest.mark.asyncio(loop_scope="module")
async def test_servicos_contam_o_que_fizeram(arm: str, open_fresh: OpenCluster) -> None:
    """With the option on every service tells its calls, its commits and its loop until it stops.

    On threads there is no loop to be late.
    """
    async with open_fresh(stats=True) as cluster:
        await asyncio.gather(*(cluster.create() for _ in range(5)))
    stats = read_stats(cluster.data_dir)
    assert set(stats) == set(SERVICOS)
    last = {servico: lines[-1] for servico, lines in stats.items()}
    assert last["pedidos"].operations["criar_pedido"][0] == 5
    assert last["logistica"].operations["agendar_envio"][0] == 5
    assert last["pedidos"].operations["criar_pedido"][1] > 0
    assert (last["pedidos"].units or 0) >= 10
    assert 0 < (last["pedidos"].batches or 0) <= (last["pedidos"].units or 0)
    assert (last["pedidos"].commit_s or 0) > 0
    assert (last["pedidos"].driven, last["estoque"].driven) == (0, None)
    assert {line.loop is not None for line in last.values()} == {arm in LOOP_ARMS}
    assert {line.pool is None for line in last.values()} == {arm in LOOP_ARMS}
    assert all(line.in_flight_now == 0 for line in last.values())
    assert not [thread for thread in threading.enumerate() if thread.name == "stats"]


@pytest.mark.asyncio(loop_scope="module")
async def test_fila_por_um_trabalhador_aparece(arm: str, open_fresh: OpenCluster) -> None:
    """Callers that wait for the only worker are in the lines, with how long the first has waited.

    Little's law at the hop holds with them in it: before, nothing at Pedidos showed that they wait.
    """
    if arm in LOOP_ARMS:
        pytest.skip("an event loop has no workers")
    async with open_fresh(stats=True, workers=1, payment_latency=(0.05, 0.05)) as cluster:
        started = time.monotonic()
        await asyncio.gather(*(cluster.create() for _ in range(12)))
        ended = time.monotonic()
    lines = read_stats(cluster.data_dir)["pedidos"]
    pools = [line.pool for line in lines if line.pool is not None]
    assert max(pool.waiting for pool in pools) >= 5
    assert max(line.in_flight for line in lines) <= 2
    assert 0.05 <= max(pool.head_s for pool in pools) <= ended - started
    assert (pools[-1].workers, pools[-1].waiting_now) == (1, 0)
    assert pools[-1].taken.calls >= 12
    assert pools[-1].taken.waited_s > 12 * 0.05
    whole = littles_law(lines, started - 1, ended + 1)
    assert whole is not None
    assert whole.in_flight > 3


@pytest.mark.asyncio(loop_scope="module")
async def test_sem_a_opcao_nada_e_escrito(open_fresh: OpenCluster) -> None:
    """Off by default: no file and no thread."""
    async with open_fresh() as cluster:
        await cluster.create()
        assert not [thread for thread in threading.enumerate() if thread.name == "stats"]
    assert read_stats(cluster.data_dir) == {}
    assert not stats_path(cluster.data_dir, "pedidos").parent.exists()


def test_linhas_sao_json_de_uma_linha_so(tmp_path: Path) -> None:
    """Any program can read them: an object a line, with the names of the fields."""
    path = tmp_path / "pedidos.jsonl"
    telling = sampler(path, idle())
    telling.start()
    telling.stop()
    for text in path.read_bytes().splitlines():
        assert set(msgspec.json.decode(text)) == set(Line.__struct_fields__)
