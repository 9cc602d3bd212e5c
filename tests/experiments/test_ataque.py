"""The attack: its plan is the seed's, its history says exactly what came, and it ends clean."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import contratos as c
from common.audit import audit
from common.erros import Categoria, ErroServico
from common.servicos.pedidos.conducao import Condutor
from loadgen.chaos import cli
from loadgen.chaos.attack import pursuit, siege
from loadgen.chaos.attack.attacker import CALLERS, HUNG_UP, LEFT, NOT_MADE, Attackers
from loadgen.chaos.attack.siege import AT_ONCE, MOVES, SIGNS, Call, Move, Siege
from loadgen.chaos.customers.customer import Customer
from loadgen.chaos.soak.schedule import SERVICES
from loadgen.workload.dial import dial_pedidos
from loadgen.workload.history import History
from tests.support.chain import basket

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from tests.conftest import OpenCluster
    from tests.support.cluster import Cluster

# Seconds. Nobody here waits so long.
PATIENCE_S: Final = 20.0
REQUEST: Final = msgspec.convert(basket(), c.CriarPedidoRequest)
OTHER: Final = msgspec.convert(basket((2, 3)), c.CriarPedidoRequest)
# No order of a test's shop has it.
NOBODY: Final = 1_000_000_000


# --- the plan -------------------------------------------------------------------------------------


@given(number=st.integers(0, 2**40), seed=st.integers(0, 2**32))
def test_what_is_done_with_an_order_is_the_seed_s_and_within_bounds(number: int, seed: int) -> None:
    """One order's calls are drawn from its number and the seed alone, one create among them."""
    plan = siege.siege(number, seed)
    assert plan == siege.siege(number, seed)
    moves = Counter(call.move for call in plan.calls)
    assert moves["create"] == 1
    assert len(plan.calls) < CALLERS
    for call in plan.calls:
        assert 0 <= call.at_s <= siege.UNDER_WAY_S
        assert siege.DEADLINE_S[0] <= call.deadline_s <= siege.DEADLINE_S[1]
        assert call.hang_up_s is None or 0.0002 <= call.hang_up_s <= 0.5
    assert plan.followed_s is None or 0 <= plan.followed_s <= siege.UNDER_WAY_S
    by_number = [c for c in plan.calls if c.move in {"cancel", "look_up"} and not c.late]
    told = [c for c in plan.calls if c.move == "duplicate" and c.hang_up_s is None and not c.late]
    assert told or not by_number, "only an answer tells the number"


def test_every_move_has_its_share() -> None:
    """Over many orders each kind of move comes under way, late where it can, and is hung up on."""
    plans = [siege.siege(number, 1) for number in range(4_000)]
    calls = [call for plan in plans for call in plan.calls]
    assert {call.move for call in calls} == set(MOVES)
    assert {call.move for call in calls if call.late} == {
        "duplicate", "other_body", "cancel", "look_up"
    }  # fmt: skip
    assert {call.move for call in calls if call.hang_up_s is not None} == set(MOVES)
    left_early = [c.hang_up_s for c in calls if c.move == "cancel" and c.hang_up_s is not None]
    assert sum(after <= 0.005 for after in left_early) > 0.8 * len(left_early)
    shares = {
        siege.DUPLICATED: lambda plan: sum(
            call.move == "duplicate" and call.at_s == 0 for call in plan.calls
        ),
        siege.OTHER_BODY: lambda plan: any(call.move == "other_body" for call in plan.calls),
        siege.FOLLOWED: lambda plan: plan.followed_s is not None,
    }
    for share, seen in shares.items():
        assert sum(map(bool, map(seen, plans))) == pytest.approx(share * len(plans), rel=0.1)
    deadlines = [call.deadline_s for call in calls]
    for low, high in ((0.001, 0.01), (0.01, 0.1), (0.1, 1.0), (1.0, 2.0)):
        assert sum(low <= each < high for each in deadlines) > 0.05 * len(deadlines)


def test_another_seed_besieges_and_strikes_otherwise() -> None:
    """Two seeds are two attacks."""
    assert [siege.siege(n, 1) for n in range(9)] != [siege.siege(n, 2) for n in range(9)]
    assert siege.raids(60.0, 1) != siege.raids(60.0, 2)


@given(duration_s=st.floats(0.5, 3_600.0), seed=st.integers(0, 2**32))
def test_strikes_are_the_seed_s_and_of_every_way_alike(duration_s: float, seed: int) -> None:
    """Each way of striking meets one, three and all services as often as any other, give or take one."""
    raids = siege.raids(duration_s, seed)
    assert raids == siege.raids(duration_s, seed)
    assert len(raids) == max(1, int(duration_s / siege.SECONDS_A_STRIKE))
    times = [raid.at_s for raid in raids]
    assert times == sorted(times)
    assert all(0 <= at < duration_s for at in times)
    ways = Counter((raid.sign, len(raid.services)) for raid in raids)
    counts = [ways[sign, at_once] for sign in SIGNS for at_once in AT_ONCE]
    assert max(counts) - min(counts) <= 1
    assert sum(counts) == len(raids)
    for raid in raids:
        assert len(set(raid.services)) == len(raid.services)
        assert set(raid.services) <= set(SERVICES)
        stopped = raid.sign in {"stop", "stop-term"}
        assert (siege.STOPPED_S[0] <= raid.length_s <= siege.STOPPED_S[1]) == stopped


# --- the history ----------------------------------------------------------------------------------


class Booth:
    """Callers of a cluster who keep a history."""

    def __init__(self, cluster: Cluster, path: Path, customers: list[Customer]) -> None:
        self.cluster = cluster
        self.customers = customers
        self.path = path
        self.history = History(path)
        for customer in customers:
            customer._history = self.history

    def lines(self, caller: int) -> list[dict[str, Any]]:
        """What the history has of one caller."""
        self.history.flush()
        lines = [json.loads(line) for line in self.path.read_bytes().splitlines()]
        return [line for line in lines if line["process"] == caller]


@asynccontextmanager
async def _booth(cluster: Cluster, arm: str, path: Path, connections: int) -> AsyncIterator[Booth]:
    async with AsyncExitStack() as stack:
        customers = []
        for _ in range(connections):
            client = dial_pedidos(arm, cluster.addresses["pedidos"], connections=32)
            stack.push_async_callback(client.close)
            customers.append(Customer(client, History(None), attempt_s=PATIENCE_S, seed=1))
        booth = Booth(cluster, path, customers)
        stack.callback(booth.history.close)
        yield booth


# The module's cluster lives on its loop.
@pytest.mark.asyncio(loop_scope="module")
async def test_each_call_is_written_as_what_came_of_it(
    cluster: Cluster, arm: str, tmp_path: Path
) -> None:
    """`ok` with its answer, `fail` where nothing was done for certain, `info` where nobody knows."""
    key = f"written {arm}"
    async with _booth(cluster, arm, tmp_path / "history.jsonl", 1) as booth:
        (customer,) = booth.customers

        async def came(caller: int, key: str | None, request: Any, seconds: float) -> Any:
            with pytest.raises(ErroServico) as failed:
                await customer.call(caller, key, request, time.monotonic() + seconds)
            asked, came = booth.lines(caller)
            assert asked["type"] == "invoke"
            assert came["error"]["kind"] == failed.value.categoria.value
            return came

        # Hung up on, while the order is on its way.
        gate = cluster.link("pagamentos").hold("before")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await customer.call(0, key, REQUEST, time.monotonic() + PATIENCE_S)
        asked, left = booth.lines(0)
        assert (asked["type"], asked["op"], asked["key"]) == ("invoke", "criar_pedido", key)
        assert msgspec.convert(asked["request"], c.CriarPedidoRequest) == REQUEST
        assert (left["type"], left["error"]["kind"]) == ("info", "interrompido")
        await gate.reached()
        number = cluster.last()
        late = await came(1, "too late", REQUEST, 0.0005)
        assert (late["type"], late["error"]["kind"]) == ("info", Categoria.PRAZO.value)
        used = await came(2, key, OTHER, PATIENCE_S)
        assert (used["type"], used["error"]["kind"]) == ("fail", Categoria.CONFLITO.value)
        gate.open()
        order = await customer.call(3, key, REQUEST, time.monotonic() + PATIENCE_S)
        assert (order.pedido_id, order.status) == (number, "enviado")
        answered = booth.lines(3)[1]
        assert (answered["type"], answered["pedido_id"]) == ("ok", number)
        assert msgspec.convert(answered["answer"], c.PedidoResponse) == order
        # Those that name an order's number have it in every line.
        sent = await came(4, key, c.CancelarPedidoRequest(number), PATIENCE_S)
        assert (sent["type"], sent["op"]) == ("fail", "cancelar_pedido")
        assert (sent["error"]["kind"], sent["pedido_id"]) == (Categoria.PRECONDICAO.value, number)
        for caller, request in ((5, c.CancelarPedidoRequest), (6, c.ConsultarPedidoRequest)):
            nobody = await came(caller, None, request(NOBODY), PATIENCE_S)
            assert (nobody["type"], nobody["pedido_id"]) == ("fail", NOBODY)
            assert nobody["error"]["kind"] == Categoria.NAO_ENCONTRADO.value
            assert "key" not in nobody
        seen = await customer.call(
            7, key, c.ConsultarPedidoRequest(number), time.monotonic() + PATIENCE_S
        )
        assert seen == order
        assert booth.lines(7)[1]["pedido_id"] == number
    report = audit(cluster.data_dir, history=booth.path)
    assert not report.violations, report.checks


def _calls(*moves: Move, **more: Any) -> tuple[Call, ...]:
    return tuple(Call(0.0, move, PATIENCE_S, **more) for move in moves)


def _attackers(
    booth: Booth, *plans: Siege, requests: Sequence[Any] = (REQUEST, OTHER)
) -> Attackers:
    return Attackers(
        booth.customers, requests, lambda number: plans[number],
        run_id=f"besieged {booth.cluster.data_dir.name}", until=time.monotonic() + PATIENCE_S,
        on_end=lambda begun, ended: None,
    )  # fmt: skip


async def test_a_besieged_order_is_one_order(
    open_fresh: OpenCluster, arm: str, tmp_path: Path
) -> None:
    """Copies at once over connections of their own, another body, cancels and look-ups: one order."""
    early = _calls("create", "duplicate", "duplicate", "duplicate", "duplicate")
    late = _calls("duplicate", "other_body", "cancel", "cancel", "look_up", "look_up", late=True)
    beyond = _calls("cancel_next", "cancel_unknown", late=True)
    path = tmp_path / "history.jsonl"
    async with open_fresh() as cluster, _booth(cluster, arm, path, 5) as booth:
        attackers = _attackers(booth, Siege((*early, *late, *beyond), 0.0))
        order = await attackers.besiege(0, asyncio.Event())
        assert order.end is not None
        assert cluster.orders() == 1
        cluster.check_shipped(order.end.pedido_id)
        data_dir = cluster.data_dir
    assert attackers.moves == {
        "create": {"enviado": 1},
        "duplicate": {"enviado": 5},
        "look_up": {"enviado": 2},
        "other_body": {"conflito": 1},
        "cancel": {"precondicao": 2},
        "cancel_next": {"nao_encontrado": 1},
        "cancel_unknown": {"nao_encontrado": 1},
    }
    assert attackers.outcomes == {"enviado": 1}
    report = audit(data_dir, history=path, settled=True, complete=True)
    assert not report.violations, report.checks


async def test_what_its_callers_left_is_asked_for_again(
    open_fresh: OpenCluster, arm: str, tmp_path: Path
) -> None:
    """An order whose only caller hung up is left to the services; at the end its key knows it."""
    path = tmp_path / "history.jsonl"
    async with open_fresh() as cluster, _booth(cluster, arm, path, 1) as booth:
        gate = cluster.link("pagamentos").hold("before")
        left = Siege(_calls("create", "look_up", hang_up_s=0.2), None)
        stopping = asyncio.Event()
        attackers = _attackers(booth, left, Siege(_calls("create"), 0.0))
        attack = asyncio.create_task(attackers.attack(1, stopping))
        await gate.reached()
        stopping.set()
        await attack
        assert attackers.moves == {"create": {HUNG_UP: 1}, "look_up": {NOT_MADE: 1}}
        assert attackers.outcomes == {LEFT: 1}
        gate.open()
        await attackers.ask_again()
        assert attackers.asked_again == {"enviado": 1}
        cluster.check_shipped(cluster.last())


async def test_whichever_body_a_key_was_taken_with_is_followed(
    open_fresh: OpenCluster, arm: str, tmp_path: Path
) -> None:
    """Where another body came first the order is that body's, and its customer learns its end."""
    path = tmp_path / "history.jsonl"
    async with open_fresh() as cluster, _booth(cluster, arm, path, 1) as booth:
        gate = cluster.link("pagamentos").hold("before")
        # Nobody but the one who follows is answered.
        attackers = _attackers(booth, Siege(_calls("other_body", hang_up_s=0.2), 0.2))
        besieging = asyncio.create_task(attackers.besiege(0, asyncio.Event()))
        await gate.reached()
        while attackers.moves != {"other_body": {HUNG_UP: 1}}:
            await asyncio.sleep(0.01)
        gate.open()
        order = await besieging
        assert attackers.outcomes == {"enviado": 1}
        assert order.end is not None
        cluster.check_shipped(order.end.pedido_id, units=3)


# --- cancels that are not pursued -----------------------------------------------------------------


@pytest.mark.parametrize("pursued", [True, False])
async def test_a_cancel_that_is_not_pursued_is_found(
    open_fresh: OpenCluster, monkeypatch: pytest.MonkeyPatch, pursued: bool
) -> None:
    """An order that is charged and shipped long after its flip is named, unless a strike came between."""
    monkeypatch.setattr(pursuit, "PURSUED_S", 0.1)
    if not pursued:
        # What a build does that leaves the drive of a cancelled order as it is.
        monkeypatch.setattr(Condutor, "turn", lambda self, linha, _: self._viva(linha))
    async with open_fresh() as cluster:
        gate = cluster.gateway.hold("before", "cobrar", times=1)
        buying = asyncio.create_task(cluster.create())
        await gate.reached()
        number = cluster.last()
        begin = time.time()
        cancelling = asyncio.create_task(cluster.cancel(number))
        flip = "SELECT 1 FROM transicoes WHERE pedido_id = ? AND para = 'cancelando'"
        while not cluster.value("pedidos", flip, number):
            await asyncio.sleep(0.01)
        # The time itself is what is judged.
        await asyncio.sleep(0.2)
        gate.open()
        _, cancelled = await asyncio.gather(buying, cancelling)
        assert cancelled.category is (None if pursued else Categoria.PRECONDICAO)
        await cluster.quiet()
        data_dir, status = cluster.data_dir, cluster.situation(number).status
    assert status == ("cancelado" if pursued else "enviado")
    assert pursuit.not_pursued(data_dir, []) == (() if pursued else (number,))
    assert pursuit.not_pursued(data_dir, [(begin - 9.0, begin - 8.0)]) == (
        () if pursued else (number,)
    )
    assert pursuit.not_pursued(data_dir, [(begin, begin + 0.05)]) == ()


# --- the command ----------------------------------------------------------------------------------


@pytest.mark.timeout(90)
# On threads here, where a stopped service that is told to end was once lost; a soak on a loop is in
# test_caos.py. The command attacks any arm, and for longer.
@pytest.mark.parametrize(
    ("mode", "seed", "struck"), [("http-threads", 92, {"stop-term": {"3": 1}})]
)
def test_a_short_attack_ends_clean(
    mode: str, seed: int, struck: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Real processes, struck while their orders are besieged: everything ends, nothing is violated."""
    file, picture = tmp_path / "attack.json", tmp_path / "attack.png"
    code = cli.main(
        [
            "--attack", f"--mode={mode}", "--duration=2", f"--seed={seed}",
            f"--data-dir={tmp_path}", f"--json={file}", f"--picture={picture}",
        ]
    )  # fmt: skip
    words = capsys.readouterr()
    assert code == cli.EXIT_OK, words.out + words.err
    (result,) = json.loads(file.read_text())
    assert result["struck"] == struck
    moves = {move: sum(counts.values()) for move, counts in result["moves"].items()}
    assert moves["create"] == result["asked"] > 20
    assert moves["duplicate"] > moves["other_body"] > 0
    assert min(moves["cancel"], moves["look_up"]) > 0
    assert sum(result["outcomes"].values()) == result["asked"]
    assert result["outcomes"]["enviado"]
    assert result["asked_again"]
    assert result["audit"]["open_orders"] == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--attack", "--matrix"], "choose one"),
        (["--attack", "--scenario=outage"], "choose one"),
        (["--attack", "--kills=3"], "--attack brings its own strikes"),
        (["--attack", "--rate=3"], "--attack brings its own strikes"),
    ],
)
def test_wrong_options_get_one_line(
    options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What an attack does not know is refused before anything starts."""
    with pytest.raises(SystemExit) as left:
        cli.main(options)
    assert left.value.code == cli.EXIT_UNUSABLE
    assert words in capsys.readouterr().err
