"""Commands and processes that tests start, and how they are heard and ended."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from common import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

# Seconds that anything may take, and that a stop may.
PRAZO_S = 15.0
HALT_MAX_S = 5.0


def run_all(*argumentos: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [sys.executable, ROOT / "run_all.py", *argumentos],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def recusa(*argumentos: str | Path) -> str:
    """The one line with which a command is refused."""
    resultado = run_all(*argumentos)
    assert resultado.returncode == 2, resultado
    assert resultado.stderr.startswith("run_all.py: ")
    assert resultado.stderr.count("\n") == 1
    return resultado.stderr


def comando(arm: str, data_dir: Path, *mais: str) -> list[str | Path]:
    """An arm on free ports, with a shop of its own."""
    loja = f"--shop={data_dir.parent / 'loja.db'}"
    return ["--mode", arm, "--base-port=0", f"--data-dir={data_dir}", loja, *mais]


@contextmanager
def processo(*comando: str) -> Iterator[subprocess.Popen[str]]:
    """A process with its output in a pipe; it and its children end with the block."""
    with subprocess.Popen(
        comando, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT
    ) as corrente:
        try:
            yield corrente
        finally:
            if corrente.poll() is None:
                filhos = psutil.Process(corrente.pid).children(recursive=True)
                corrente.kill()
                for filho in filhos:
                    with suppress(psutil.NoSuchProcess):
                        filho.kill()


def ler_ate(corrente: subprocess.Popen[str], trecho: str) -> str:
    """The lines of a process up to the first that contains `trecho`."""
    linhas = []
    for linha in corrente.stdout:
        linhas.append(linha)
        if trecho in linha:
            return "".join(linhas)
    pytest.fail(f"no {trecho!r} in:\n{''.join(linhas)}")


def supervisor_falso(data_dir: Path) -> list[str]:
    """The command of a supervisor of services that only pretend."""
    return [sys.executable, str(Path(__file__).with_name("supervisor_falso.py")), str(data_dir)]
