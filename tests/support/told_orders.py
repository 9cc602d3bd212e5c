"""Made-up orders that told their time in full, for tests of whoever reads it."""

from __future__ import annotations

from loadgen.attribution.hops import (
    Sample,
)
from loadgen.results.histograms import latency_histogram
from loadgen.results.recorder import Recorder, Recording
from loadgen.workload.outcomes import Outcome

MS = 1_000_000
# An order of 100 ms: 1 ms late, 5 there and 4 back, 90 in two hops.
PEDIDOS = (
    "pedidos;dur=90.000;em=1006.000;espera=10.000;trabalho=5.000;fila=1.000;banco=20.000"
    ";commit=8.000;proximo=53.000;saida=1030.000"
)
PAGAMENTOS = "pagamentos;dur=50.000;em=1032.000;espera=4.000;trabalho=6.000;gateway=39.500"


def sample(timing: str = f"{PEDIDOS}, {PAGAMENTOS}", *, ms: float = 100) -> Sample:
    """An order of some milliseconds, meant to be sent at 1,000 ms."""
    end = 1_000 * MS + int(ms * MS)
    return Sample(1_000 * MS, 1_001 * MS, end, end, timing)


def recorded(latencies_ms: range) -> Recording:
    """What a process keeps of orders that took so long, each of which told its time."""
    recorder = Recorder(0, 0.0, 60.0, seed=latencies_ms.start)
    for ms in latencies_ms:
        each = sample(ms=ms)
        recorder.sent(each.sent_ns)
        recorder.ended(each.intended_ns, each.sent_ns, each.end_ns, Outcome("enviado"), each.timing)
    return recorder.recording(latency_histogram(60.0))
