"""gerador_dados.py, the command: what it writes, what it refuses, and how it is interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from common import ROOT
from common.shop.schema import check_shop, fingerprint


def _comando(pasta: Path, *argumentos: str) -> subprocess.CompletedProcess[str]:
    comando = [sys.executable, str(ROOT / "gerador_dados.py"), *argumentos]
    return subprocess.run(comando, cwd=pasta, capture_output=True, text=True, check=False)


def test_comando_escreve_ecommerce_db_e_diz_como_repetir(tmp_path: Path) -> None:
    """Without options it writes ecommerce.db, replaces it, and prints seed, date and path."""
    primeiro = _comando(tmp_path)
    assert (primeiro.returncode, primeiro.stderr) == (0, "")
    assert f"wrote {tmp_path / 'ecommerce.db'}" in primeiro.stdout
    antes = fingerprint(tmp_path / "ecommerce.db")
    repetir = primeiro.stdout.partition("again: python gerador_dados.py ")[2].split()
    assert "--seed" in repetir
    assert "--data" in repetir
    segundo = _comando(tmp_path, *repetir)
    assert segundo.returncode == 0
    assert "replaced" in segundo.stdout
    assert fingerprint(tmp_path / "ecommerce.db") == antes


def test_comando_nao_substitui_outro_arquivo_sem_force(tmp_path: Path) -> None:
    """A file named by --output that exists is refused and untouched, and replaced with --force."""
    outro = tmp_path / "outro.db"
    outro.write_bytes(b"antes")
    recusado = _comando(tmp_path, "--output", "outro.db")
    assert recusado.returncode == 2
    assert recusado.stderr == "gerador_dados.py: outro.db exists; --force replaces it\n"
    assert outro.read_bytes() == b"antes"
    assert _comando(tmp_path, "--output", "outro.db", "--force").returncode == 0
    check_shop(outro)


@pytest.mark.parametrize(
    ("argumentos", "frase"),
    [
        (("--estoque", "9:1"), "estoque must be LO:HI"),
        (("--estoque", "muito"), "expected LO:HI"),
        (("--data", "2025-02-30"), "expected a day as YYYY-MM-DD"),
        (("--data", "2025-W01-1"), "expected a day as YYYY-MM-DD"),
        (("--clientes", "0"), "clientes must be at least 1"),
        (("--pedidos", "dez"), "invalid int value"),
        (("--output", "nada/loja.db"), "does not exist"),
        (("--output", "."), "is not a file"),
        (("--pedido", "3"), "unrecognized arguments"),
    ],
)
def test_comando_recusa_em_uma_linha(
    argumentos: tuple[str, ...], frase: str, tmp_path: Path
) -> None:
    """A request that cannot be met ends with code 2 and one line, and writes nothing."""
    saida = _comando(tmp_path, *argumentos)
    assert saida.returncode == 2
    assert frase in saida.stderr
    assert saida.stderr.count("\n") == 1
    assert saida.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_comando_nao_substitui_o_que_nao_e_arquivo(tmp_path: Path) -> None:
    """A device or a pipe is never replaced, not even with --force."""
    fila = tmp_path / "fila"
    os.mkfifo(fila)
    saida = _comando(tmp_path, "--output", "fila", "--force")
    assert saida.returncode == 2
    assert saida.stderr == "gerador_dados.py: fila exists and is not a file\n"
    assert fila.is_fifo()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that root cannot write")
def test_comando_recusa_pasta_em_que_nao_pode_escrever() -> None:
    """A folder that cannot be written to is refused before any work, in one line."""
    saida = _comando(ROOT, "--output", "/proc/loja.db")
    assert saida.returncode == 2
    assert "cannot be written to" in saida.stderr
    assert saida.stderr.count("\n") == 1


def test_disco_cheio_termina_em_uma_linha(tmp_path: Path) -> None:
    """When the disk fills up it ends with code 1 and one line, and the old shop stays."""
    resource = pytest.importorskip("resource")
    (tmp_path / "ecommerce.db").write_bytes(b"antes")
    comando = [sys.executable, str(ROOT / "gerador_dados.py"), "--pedidos", "2000"]
    saida = subprocess.run(
        comando,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
    )
    assert saida.returncode == 1
    assert "cannot write ecommerce.db" in saida.stderr
    assert "Traceback" not in saida.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["ecommerce.db"]
    assert (tmp_path / "ecommerce.db").read_bytes() == b"antes"


@pytest.mark.parametrize("sinal", [signal.SIGINT, signal.SIGTERM])
def test_interromper_nao_deixa_meia_loja(sinal: signal.Signals, tmp_path: Path) -> None:
    """Ctrl-C, or being asked to end, leaves no file at all and the code of the signal."""
    comando = [sys.executable, str(ROOT / "gerador_dados.py"), "--pedidos", "5000000"]
    # A suite begun in the background ignores SIGINT, and a child would inherit that.
    antes = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        processo = subprocess.Popen(comando, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, antes)
    limite = time.monotonic() + 10
    while not any(p.stat().st_size for p in tmp_path.iterdir()) and time.monotonic() < limite:
        time.sleep(0.02)
    processo.send_signal(sinal)
    _, erro = processo.communicate(timeout=10)
    assert processo.returncode == 128 + sinal
    assert erro == "gerador_dados.py: interrupted; ecommerce.db is as it was\n"
    assert list(tmp_path.iterdir()) == []
