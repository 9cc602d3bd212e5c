"""The command against six real services: one small run in each arm."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from loadgen import options
from loadgen.testbed.chains import real_arm
from tests.support.loadgen_support import lines


@pytest.mark.parametrize("mode", ["grpc", "http"])
async def test_comando_compra_na_loja_que_roda(mode: str, tmp_path: Path) -> None:
    """Real customers buy real products; JSON, history and exit code agree on every order."""
    async with real_arm(mode, (0.0, 0.0), tmp_path):
        done = await asyncio.to_thread(
            subprocess.run,
            [
                sys.executable, "-m", "loadgen", "--concurrency=10", "--processes=2",
                f"--data-dir={tmp_path / 'dados'}", f"--json={tmp_path / 'r.json'}",
                f"--history={tmp_path / 'h.jsonl'}",
            ],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    result = json.loads((tmp_path / "r.json").read_text())
    assert result["outcomes"]["enviado"] == result["sent"] == 50, done.stdout + done.stderr
    assert done.returncode == (options.EXIT_OK if result["valid"] else options.EXIT_INVALID)
    assert {"pedidos", "pagamentos", "estoque", "fiscal", "logistica"} <= set(result["hops_ms"])
    history = lines(tmp_path / "h.jsonl")
    placed = [line for line in history if line["op"] == "criar_pedido" and line["type"] == "invoke"]
    assert len({line["key"] for line in placed}) == 50
    assert {line["answer"]["status"] for line in history if line["type"] == "ok"} == {"enviado"}
