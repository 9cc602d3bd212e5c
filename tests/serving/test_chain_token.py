"""With a token the chain's steps are taken from the hop before alone, and it is kept a secret."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

import psutil
import pytest
import requests

import run_all
from common import ROOT
from common.callers import CHAIN_GIVEN, HEADER_CHAIN, chain_only, credential, same
from common.contratos import OPERACOES
from common.erros import Categoria
from common.options import parse_service
from common.process.runfile import read_run
from tests.support.chain import CANCEL, CHAIN, FORWARD, step
from tests.support.estranhos import ENVIO, PEDIDO
from tests.support.lancamento import PRAZO_S, comando, ler_ate, processo, recusa

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import OpenCluster
    from tests.support.cluster import Cluster

# Orders that do not exist yet.
TO_COME: Final = 9_000_000
SECRET: Final = "o segredo deste teste"
PROIBIDO: Final = Categoria.PROIBIDO


# --- the chain's token ---------------------------------------------------------------------------

HOPS: Final = CHAIN[1:]
CALLS: Final = [(servico, calls[servico]) for servico in HOPS for calls in (FORWARD, CANCEL)]


def body_of(servico: str, operation: str, pedido_id: int) -> dict[str, Any]:
    """The body of a step, or of its undoing."""
    return step(servico, pedido_id) if operation in FORWARD.values() else {"pedido_id": pedido_id}


async def by_hand(
    cluster: Cluster, servico: str, operation: str, pedido_id: int, *token: str
) -> Any:
    """Call an inner operation as a stranger does."""
    headers = dict.fromkeys([HEADER_CHAIN], token[0]) if token else {}
    body = body_of(servico, operation, pedido_id)
    return await cluster.edge.call(operation, body, headers=headers)


async def test_with_the_token_the_chain_goes_on_as_ever(open_fresh: OpenCluster) -> None:
    """Orders ship, are taken up again, and are cancelled on their way; the books agree."""
    async with open_fresh(chain_token=SECRET) as cluster:
        shipped = (await cluster.create()).body
        assert shipped["status"] == "enviado"
        cluster.check_shipped(shipped["pedido_id"])

        cluster.link("estoque").cut()
        left = (await cluster.create(timeout_s=0.5)).body
        assert left["status"] == "pendente"
        cluster.link("estoque").heal()
        assert (await cluster.end_of(left["pedido_id"]))["status"] == "enviado"
        cluster.check_shipped(left["pedido_id"])

        gate = cluster.link("fiscal").hold("before", FORWARD["fiscal"])
        creating = asyncio.create_task(cluster.create())
        await gate.reached()
        cancelled = cluster.last()
        assert (await cluster.cancel(cancelled)).body["status"] == "cancelado"
        gate.open()
        assert (await creating).body["status"] == "cancelado"
        await cluster.quiet()
        cluster.check_cancelled(cancelled, "solicitado")
        cluster.check_books()


async def test_with_the_token_a_step_by_hand_is_refused_without_effect(
    open_fresh: OpenCluster, caplog: pytest.LogCaptureFixture
) -> None:
    """Without the token, with the secret itself, or with another hop's: forbidden at every hop."""
    async with open_fresh(chain_token=SECRET) as cluster:
        order = cluster.last() + 1
        for servico, operation in CALLS:
            others = [credential(SECRET, each) or "" for each in CHAIN if each != servico]
            for token in ((), ("",), (SECRET,), *((other,) for other in others)):
                reply = await by_hand(cluster, servico, operation, order, *token)
                assert reply.category is PROIBIDO, (operation, token)
        assert cluster.situation(order).passos == {}
        assert cluster.situation(order).cobrado == 0
        reply = await cluster.create()
        assert reply.body["pedido_id"] == order
        cluster.check_shipped(order)
    # Told of once for each operation, and without the token.
    told = [record.getMessage() for record in caplog.records if "anterior" in record.getMessage()]
    assert sorted({operation for _, operation in CALLS}) == sorted(
        line.split(":")[0] for line in told
    )
    assert SECRET not in caplog.text
    assert not any((credential(SECRET, each) or "") in caplog.text for each in CHAIN)


async def test_with_the_token_nothing_is_shipped_for_a_centavo_in_advance(
    open_fresh: OpenCluster,
) -> None:
    """A payment for an order to come is refused, and that order is paid what it costs."""
    async with open_fresh(chain_token=SECRET) as cluster:
        order = cluster.last() + 1
        cheap = step("pagamentos", order, valor_total_centavos=1)
        reply = await cluster.edge.call("processar_pagamento", cheap)
        assert reply.category is PROIBIDO
        assert (await cluster.create()).body["pedido_id"] == order
        cluster.check_shipped(order)
        assert cluster.situation(order).cobrado > 1


async def test_it_is_refused_before_its_message_is_read(open_fresh: OpenCluster) -> None:
    """Whoever may not call is not told what is wrong with what it sent."""
    async with open_fresh(chain_token=SECRET) as cluster:
        for operation in ("agendar_envio", "cancelar_envio"):
            body = {"pedido_id": -1}
            reply = await cluster.edge.call(operation, body)
            assert reply.category is PROIBIDO


async def test_with_the_token_clients_and_look_ups_need_none(open_fresh: OpenCluster) -> None:
    """Ordering, cancelling at Pedidos and every look-up stay open."""
    async with open_fresh(chain_token=SECRET) as cluster:
        order = (await cluster.create()).body["pedido_id"]
        for operacao in OPERACOES:
            if operacao.classe == "consulta":
                named = {"produto_id": 1} if operacao.nome == "consultar_estoque" else {}
                fields = {"pedido_id": order} if "pedido_id" in operacao.caminho else named
                assert (await cluster.edge.call(operacao.nome, fields)).category is None
        assert (await cluster.cancel(order)).category is Categoria.PRECONDICAO


async def test_without_a_token_steps_by_hand_work(open_fresh: OpenCluster) -> None:
    """As the course's examples do: each step and each undoing, by anybody on this machine."""
    async with open_fresh() as cluster:
        for number, (servico, operation) in enumerate(CALLS):
            reply = await by_hand(cluster, servico, operation, TO_COME + number)
            assert reply.category is None, operation


async def test_services_of_two_secrets_do_not_hear_each_other(open_fresh: OpenCluster) -> None:
    """A service begun without the others' secret: its orders stay open, and end when it has it."""
    async with open_fresh(chain_token=SECRET) as cluster:
        await cluster.stop("fiscal")
        await cluster.start("fiscal", chain_token=None)
        left = (await cluster.create(timeout_s=0.5)).body
        assert left["status"] == "pendente"
        assert cluster.situation(left["pedido_id"]).envios == 0
        await cluster.stop("fiscal")
        await cluster.start("fiscal")
        assert (await cluster.end_of(left["pedido_id"]))["status"] == "enviado"
        cluster.check_shipped(left["pedido_id"])


def test_the_chains_operations_are_those_behind_pedidos() -> None:
    """Steps and their undoing, none of Pedidos' and no look-up."""
    assert {o.nome for o in OPERACOES if chain_only(o)} == {operation for _, operation in CALLS}


def test_each_hop_has_a_credential_of_its_own() -> None:
    """None leads to the secret or to another hop's, and all are as a header can carry them."""
    credentials = {credential(SECRET, servico) or "" for servico in HOPS}
    assert len(credentials) == len(HOPS)
    assert all(each.isalnum() and each.isascii() and SECRET not in each for each in credentials)
    assert credential(SECRET, "fiscal") == credential(SECRET, "fiscal")
    assert credential(SECRET + "x", "fiscal") != credential(SECRET, "fiscal")
    assert credential(None, "fiscal") is None


@pytest.mark.parametrize("given", ["", "é", "\udcff", "\x00", "certo ", "cert", "certoo"])
def test_what_is_no_token_is_not_the_token(given: str) -> None:
    """Also text that no bytes stand for, which headers and cookies may bring."""
    assert not same(given, "certo")
    assert same("certo", "certo")


# --- how services come by it ---------------------------------------------------------------------

MALFORMED: Final = ["", "a\tb", "com acento é", "a\nb"]


@pytest.mark.parametrize("secret", MALFORMED)
def test_a_malformed_secret_is_one_line(
    secret: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """run_all.py and a service alone refuse it before anything is touched, and do not say it."""
    monkeypatch.setenv(CHAIN_GIVEN, secret)
    data = tmp_path / "dados"
    line = recusa("--mode", "http", "--base-port=0", f"--data-dir={data}")
    assert CHAIN_GIVEN in line
    alone = subprocess.run(
        [sys.executable, "-m", "http_aio", "logistica", "--port=0", f"--data-dir={data}"],
        cwd=ROOT, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert alone.returncode == 2
    assert alone.stderr.count("\n") == 1
    assert CHAIN_GIVEN in alone.stderr
    assert not secret or secret not in line + alone.stderr
    assert not data.exists()


def test_the_variable_or_the_flag_turns_it_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable names the secret, the flag draws one where there is none, neither is off."""

    def secret(*flags: str) -> str | None:
        return run_all._secret(run_all._parse(["--mode", "http", *flags]))

    monkeypatch.delenv(CHAIN_GIVEN, raising=False)
    assert secret() is None
    drawn = {secret("--chain-token") for _ in range(3)}
    assert len(drawn) == 3
    assert all(each is not None and len(each) >= 32 for each in drawn)
    for flags in ((), ("--chain-token",)):
        monkeypatch.setenv(CHAIN_GIVEN, "dado")
        assert secret(*flags) == "dado"
    monkeypatch.setenv(CHAIN_GIVEN, "dado")
    assert parse_service("http", ["fiscal"]).chain_token == "dado"
    monkeypatch.delenv(CHAIN_GIVEN)
    assert parse_service("http", ["fiscal"]).chain_token is None


def test_a_run_with_a_token_keeps_it_to_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Orders ship, also after a restart; no command line and no file of the run has the token."""
    monkeypatch.delenv(CHAIN_GIVEN, raising=False)
    data = tmp_path / "dados"
    options = ("--chain-token", "--payment-latency=0", "--payment-approval=1", "--stock=1000")
    allowed = "--allow-host=loja.example"
    command = map(str, comando("http", data, *options, "--trace-share=1", "--stats=on", allowed))
    with processo(sys.executable, "run_all.py", *command) as running:
        said = ler_ate(running, "ready: ")
        run = read_run(data)
        assert run.chain_token
        pids = {servico: each.pid or 0 for servico, each in run.services.items()}
        secrets = {psutil.Process(pid).environ()[CHAIN_GIVEN] for pid in pids.values()}
        (secret,) = secrets

        def order(**headers: str) -> Any:
            url = f"http://{run.services['pedidos'].address}/pedidos"
            return requests.post(url, json=PEDIDO, headers=headers, timeout=PRAZO_S).json()

        assert order()["status"] == "enviado"
        assert order(Host="loja.example")["status"] == "enviado"
        psutil.Process(pids["fiscal"]).kill()
        said += ler_ate(running, "fiscal is ready again")
        assert order()["status"] == "enviado"
        url = f"http://{run.services['logistica'].address}/envios"
        refused = requests.post(url, json=ENVIO, timeout=PRAZO_S)
        assert refused.status_code == 403
        shown = [refused.text, str(refused.headers)]
        shown += [
            requests.get(f"http://{each.address}{path}", timeout=PRAZO_S).text
            for each in run.services.values()
            for path in ("/openapi.json", "/metrics")
        ]
        lines = [
            " ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])
        ]
        running.terminate()
        said += running.stdout.read()
        assert running.wait(PRAZO_S) == 0
    files = [path.read_bytes() for path in data.rglob("*") if path.is_file()]
    assert any(b'"pedidos"' in content for content in files)
    for hidden in (secret, *(credential(secret, servico) or "" for servico in CHAIN)):
        assert not any(hidden in text for text in (said, *shown, *lines))
        assert not any(hidden.encode() in content for content in files)


def test_a_run_without_a_token_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Off by default: run.json says it, and a step by hand is taken."""
    monkeypatch.delenv(CHAIN_GIVEN, raising=False)
    data = tmp_path / "dados"
    with processo(sys.executable, "run_all.py", *map(str, comando("http", data))) as running:
        ler_ate(running, "ready: ")
        assert json.loads((data / "run.json").read_bytes())["chain_token"] is False
        run = read_run(data)
        url = f"http://{run.services['logistica'].address}/envios"
        assert requests.post(url, json=ENVIO, timeout=PRAZO_S).status_code == 200
        running.terminate()
        assert running.wait(PRAZO_S) == 0
