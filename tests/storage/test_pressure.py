"""The machine's pressure, read from its processors."""

from __future__ import annotations

import psutil
import pytest

from common.storage import pressure as module


@pytest.mark.parametrize(
    ("busy_percent", "pressure"), [(0.0, 0.0), (80.0, 0.0), (87.5, 0.5), (95.0, 1.0), (100.0, 1.0)]
)
def test_a_pressao_cresce_entre_os_dois_limites(
    monkeypatch: pytest.MonkeyPatch, busy_percent: float, pressure: float
) -> None:
    """Below the first limit there is none, at the second it is full, between them it is even."""
    monkeypatch.setattr(psutil, "cpu_percent", lambda interval: busy_percent)
    monkeypatch.setattr(module, "READING_S", 0.0)
    assert module.Pressure().read() == pytest.approx(pressure)


def test_a_maquina_e_lida_de_tempos_em_tempos(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two readings the last one stands, whoever asks."""
    readings: list[float] = []
    monkeypatch.setattr(psutil, "cpu_percent", lambda interval: readings.append(0.0) or 0.0)
    pressure = module.Pressure()
    for _ in range(100):
        pressure.read()
    assert len(readings) == 1
