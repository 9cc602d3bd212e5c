"""The experiments on the generator itself: its cost beside a bare client, and its pacing."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from loadgen.calibration import cost, pacing
from loadgen.driver.crew import Crew
from loadgen.options import EXIT_INVALID, EXIT_OK, EXIT_UNUSABLE
from loadgen.pairs.command import EXIT_BELOW
from loadgen.results.result import make_result
from loadgen.testbed.chains import trivial_server
from loadgen.testbed.clients import ClientError, Cost, bare, generator, has_locust
from loadgen.testbed.trivial import PROTOCOLS
from loadgen.workload.plan import Plan


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_gerador_e_cliente_nu_compram_do_servidor_trivial(protocol: str) -> None:
    """Both drive the same server, whose orders all end; each tells its rate and what it used."""
    async with trivial_server(protocol) as chain:
        ours = await generator(protocol, chain, 10, 0.4)
        theirs = await bare(protocol, chain, 10, 0.4)
    for found in (ours, theirs):
        assert found.orders > 10
        assert found.rate_per_s > 0
        assert found.cpu_us > 0
        assert found.invalid_reasons == []


async def test_servidor_trivial_da_o_mesmo_pedido_nos_dois_protocolos() -> None:
    """The one answer is a shipped order, whole, whatever the protocol and however its bytes come."""
    for protocol in PROTOCOLS:
        async with trivial_server(protocol) as chain:
            plan = Plan(
                mode=protocol, address=chain.address, population=chain.population, run_id="x",
                concurrency=2, checkouts=8, sample_every=1,
            )  # fmt: skip
            result = make_result(plan, await Crew(plan).run(), {})
        assert result.outcomes.enviado == 8, result.examples
        assert {"pedidos", "logistica"} <= set(result.hops_ms)
    async with trivial_server("http") as chain:
        host, _, port = chain.address.partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        for part in (b"POST /pedidos HTTP/1.1\r\nContent-Le", b"ngth: 4\r\n\r\n{", b"  }"):
            writer.write(part)
            await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 201 ")
        writer.close()


def test_ritmo_se_confere_contra_um_servidor_que_para(tmp_path: Path) -> None:
    """The command drives a server that stands still, shows its checks and writes them down."""
    out = tmp_path / "pacing.json"
    words = ["--mode=http", "--rate=100", "--seconds=1", "--stall=0.4", f"--json={out}"]
    code = pacing.main(words)
    found = json.loads(out.read_text())
    checks = {check["name"]: check["passed"] for check in found["checks"]}
    assert len(checks) == 5
    assert checks["the open loop's p99 shows the stall"]
    assert found["open_loop"]["offered_per_s"] == 100
    passed = EXIT_OK if all(checks.values()) else EXIT_BELOW
    assert code == (passed if found["valid"] else EXIT_INVALID)


def spent(rate: float, reasons: tuple[str, ...] = ()) -> Cost:
    return Cost(100, rate, 100.0, 0.9, 0.5, list(reasons))


def test_razao_e_a_mediana_dos_pares() -> None:
    """The bar is for the median of the pairs, on both of its sides."""
    pairs = [cost.Pair(spent(rate), spent(1_000)) for rate in (700, 790, 800, 900, 990)]
    arm = cost.Arm.of("grpc", pairs)
    assert (arm.ratio, arm.ratio_min, arm.ratio_max, arm.met) == (0.8, 0.7, 0.99, True)
    assert not cost.Arm.of("grpc", pairs[:2]).met


@pytest.mark.parametrize(
    ("pairs", "code", "words"),
    [
        ([0.9] * 5, EXIT_OK, "met"),
        ([0.7] * 5, EXIT_BELOW, "NOT met"),
        ([0.9] * 4, EXIT_INVALID, "4 pairs are too few"),
    ],
)
def test_codigo_de_saida_do_custo(
    pairs, code: int, words: str, monkeypatch: pytest.MonkeyPatch, capsys, tmp_path: Path
) -> None:
    """The command exits by what came of its pairs, with the table and the JSON."""
    rates = iter(pairs)

    async def fake_generator(*_):
        return spent(1_000 * next(rates))

    async def fake_bare(*_):
        return spent(1_000)

    monkeypatch.setattr(cost, "generator", fake_generator)
    monkeypatch.setattr(cost, "bare", fake_bare)
    out = tmp_path / "cost.json"
    given = ["--mode", "http", f"--pairs={len(pairs)}", f"--json={out}"]
    assert cost.main(given) == code
    text = capsys.readouterr().out
    assert words in text
    assert "--locust PYTHON" in text
    assert msgspec.json.decode(out.read_bytes())["arms"][0]["ratio"] == pairs[0]


def test_sem_locust_uma_linha_diz_o_que_fazer(capsys: pytest.CaptureFixture[str]) -> None:
    """An interpreter without Locust, or none at all, is one line and exit code 2."""
    for python in (sys.executable, "/no/such/python", "/bin/true"):
        assert not asyncio.run(has_locust(python))
        assert cost.main(["--locust", python]) == EXIT_UNUSABLE
        line = capsys.readouterr().err
        assert "has no Locust" in line
        assert line.count("\n") == 1


def test_ao_lado_da_cifra_do_locust_esta_o_que_ele_nao_faz() -> None:
    """Where Locust is compared, a line says what its orders lack; where it is not, none does."""
    for found in (None, spent(500)):
        arm = cost.Arm.of("http", [cost.Pair(spent(900), spent(1_000), found)])
        console = Console(width=200, record=True, file=io.StringIO())
        costs = cost.Costs(
            arms=[arm], bar=cost.RATIO_MIN, valid=True, invalid_reasons=[], options={},
            environment={},
        )  # fmt: skip
        cost.show(costs, console)
        assert ("without a key and a deadline" in console.export_text()) == (found is not None)


async def test_cliente_que_falha_e_dito() -> None:
    """A client that ends in an error is told by its last words."""
    async with trivial_server("http") as chain:
        nobody = msgspec.structs.replace(chain, address="127.0.0.1:1")
        with pytest.raises(ClientError, match="bare_client"):
            await bare("http", nobody, 1, 0.1)
