"""Made-up orders that told their time in full, for tests of whoever reads it."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from common.servicos.protocolo.record import Hop, Inside, encode
from loadgen.attribution.hops import Sample
from loadgen.results.histograms import latency_histogram
from loadgen.results.recorder import Recorder, Recording
from loadgen.workload.outcomes import Outcome

MS = 1_000_000
# An order of 100 ms: 1 ms late, 5 there and 4 back, 90 in two hops. Microseconds.
PEDIDOS = Hop(
    "pedidos", 1_006_000, 90_000, queue=1_000, commit=8_000,
    inside=Inside(espera=10_000, trabalho=5_000, banco=20_000, proximo=53_000, saida=1_030_000),
)  # fmt: skip
PAGAMENTOS = Hop(
    "pagamentos", 1_032_000, 50_000,
    inside=Inside(espera=4_000, trabalho=6_000, gateway=39_500),
)  # fmt: skip


def changed(hop: Hop, **changes: Any) -> Hop:
    """The hop with other figures, of its own or of its parts."""
    parts = {name: changes.pop(name) for name in Inside.__struct_fields__ if name in changes}
    assert hop.inside is not None
    return replace(hop, **changes, inside=replace(hop.inside, **parts))


def record(*hops: Hop) -> str:
    """The timing record of these hops, the edge first."""
    return ",".join(map(encode, hops))


TOLD = record(PEDIDOS, PAGAMENTOS)


def sample(timing: str = TOLD, *, ms: float = 100) -> Sample:
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
