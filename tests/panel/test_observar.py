"""What the panel reads from the services' metrics, and what runs beside the services."""

from __future__ import annotations

import asyncio
import sys
import threading
from itertools import pairwise
from math import inf
from pathlib import Path
from typing import Final

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from common.contratos import SERVICOS, operacoes_de
from common.process.sidecar import beside
from common.telemetry.meters import BOUNDS_S, COUNTED_AT_ONCE, Durations
from panel.observer import STEP, Bucket, parse, percentile

NAME: Final = "checkout_request_duration_seconds"


def buckets_of(seconds: list[float]) -> list[Bucket]:
    """What the panel reads of these calls, by way of Prometheus' own page."""
    registry = CollectorRegistry()
    family = Histogram(
        NAME, "", ("service", "operation", "code"), buckets=BOUNDS_S, registry=registry
    )
    for each in seconds:
        family.labels("fiscal", "emitir_nota_fiscal", "ok").observe(each)
    reading = parse(generate_latest(registry).decode(), 0.0, "emitir_nota_fiscal")
    return reading.buckets.get(("emitir_nota_fiscal", "ok"), [])


@settings(deadline=None)
@given(st.lists(st.floats(0.0, 59.0), min_size=1, max_size=50), st.sampled_from([0.5, 0.9, 0.99]))
def test_um_percentil_cai_na_faixa_do_exato(seconds: list[float], share: float) -> None:
    """It lies between the bounds of the bucket that holds the exact one."""
    exact = sorted(seconds)[max(0, -(-int(share * 100) * len(seconds) // 100) - 1)]
    found = percentile(buckets_of(seconds), [], share) / 1e3
    upper = next(bound for bound in BOUNDS_S if exact <= bound)
    lower = max((bound for bound in BOUNDS_S if bound < exact), default=0.0)
    assert lower - 1e-9 <= found <= upper + 1e-9


def test_so_o_que_veio_entre_duas_leituras_conta() -> None:
    old = [0.002] * 50
    assert percentile(buckets_of([*old, 0.5]), buckets_of(old), 0.5) > 400
    assert percentile(buckets_of(old), buckets_of(old), 0.5) == 0.0


@given(st.lists(st.floats(0.0, 200.0), max_size=3 * COUNTED_AT_ONCE))
def test_cada_chamada_conta_uma_vez_na_sua_faixa(seconds: list[float]) -> None:
    durations = Durations()
    for each in seconds:
        durations.note(each)
    counts, sum_s = durations.counts()
    bounds = [*BOUNDS_S, inf]
    assert counts == [
        sum(low < each <= high for each in seconds) for low, high in pairwise([-inf, *bounds])
    ]
    assert sum_s == pytest.approx(sum(seconds))


def test_de_muitas_threads_nenhuma_chamada_se_perde() -> None:
    """Also while somebody reads."""
    durations, each, threads = Durations(), 20_000, 6
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            durations.counts()

    def note() -> None:
        for _ in range(each):
            durations.note(0.002)

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=note) for _ in range(threads)]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    assert sum(durations.counts()[0]) == threads * each


@pytest.mark.parametrize("text", ["", "nothing", "checkout_ 1", "# HELP x\n", "a{b=} 1\n", "\x00"])
def test_uma_pagina_estranha_nao_quebra_a_leitura(text: str) -> None:
    assert parse(text, 1.0, "x").buckets == {}


def test_cada_servico_tem_uma_etapa_sua() -> None:
    for servico in SERVICOS:
        assert STEP[servico] in {operacao.nome for operacao in operacoes_de(servico)}


# --- beside -------------------------------------------------------------------------------------


async def until(found: list[str], count: int) -> None:
    """Wait until so many lines were said."""
    async with asyncio.timeout(20):
        while len(found) < count:
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("interrupt", ["default_int_handler", "SIG_IGN"])
async def test_o_que_roda_ao_lado_e_recomecado_e_termina_com_o_bloco(
    tmp_path: Path, interrupt: str
) -> None:
    """It gets its variables, and has ended with the block even where it ignores interrupts."""
    mark = tmp_path / "pids"
    code = (
        f"import os, signal, sys; signal.signal(signal.SIGINT, signal.{interrupt});"
        " f = open(sys.argv[1], 'a'); print(os.getpid(), os.environ['X'], file=f,"
        " flush=True); sys.stdin.read()"
    )
    said: list[str] = []

    async def pids(count: int) -> list[int]:
        async with asyncio.timeout(20):
            while True:
                lines = mark.read_text().splitlines() if mark.exists() else []
                if len(lines) == count:
                    assert all(line.endswith(" y") for line in lines)
                    return [int(line.split()[0]) for line in lines]
                await asyncio.sleep(0.02)

    command = [sys.executable, "-c", code, str(mark)]
    async with beside("it", command, said.append, {"X": "y"}):
        [first] = await pids(1)
        psutil.Process(first).kill()
        _, second = await pids(2)
    assert not psutil.pid_exists(second)
    assert said == ["it ended with SIGKILL and is begun again; the services go on"]


async def test_o_que_nunca_vive_e_deixado(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.process.sidecar.PAUSE_BETWEEN_S", 0.0)
    said: list[str] = []
    async with beside("it", [sys.executable, "-c", "raise SystemExit(3)"], said.append):
        await until(said, 5)
        await asyncio.sleep(0.3)
    assert len(said) == 5
    assert "is left" in said[-1]
    assert "exit code 3" in said[-1]
