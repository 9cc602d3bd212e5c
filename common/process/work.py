"""A load and its audit while the services run: `run_all.py --load N`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from common import ROOT
from common.process.child import how_it_ended, python, run_errand
from common.process.preflight import HISTORY, RESULT
from common.process.supervisor import EXIT_FAILED, EXIT_OK, Work, say
from common.settings import Settings

_RUN_ALL: Final = ROOT / "run_all.py"


def load_and_audit(settings: Settings, callers: int, *, complete: bool) -> Work:
    """Drive the arm with so many checkouts at once and audit it.

    `complete` when no other orders can be there.
    """
    data_dir = settings.data_dir
    history, result = data_dir / HISTORY, data_dir / RESULT
    own_stock = ", on the shop's own stock: --stock N sets more" if settings.stock is None else ""

    async def work() -> int:
        say(f"load: {callers} concurrent checkouts{own_stock}")
        # What an earlier run left speaks of other orders.
        for left in (history, result):
            left.unlink(missing_ok=True)
        load = await run_errand(
            python(
                *("-m", "loadgen", f"--concurrency={callers}", f"--checkouts={callers}"),
                *(f"--data-dir={data_dir}", f"--seed={settings.seed}"),
                *(f"--history={history}", f"--json={result}"),
            )
        )
        audit = python(str(_RUN_ALL), "--audit", f"--data-dir={data_dir}", "--settled")
        if history.exists():
            audit += [f"--history={history}", *(["--complete"] if complete else [])]
        audited = await run_errand(audit)
        if audited != 0 and result.exists():
            _void_goodput(result)
        say(f"load {_verdict(load, 'valid')}, audit {_verdict(audited, 'clean')}")
        return EXIT_OK if load == audited == 0 else EXIT_FAILED

    return work


def _void_goodput(result: Path) -> None:
    """A run whose audit is not clean has no goodput: whatever it counted may be wrong."""
    figures = msgspec.json.decode(result.read_bytes())
    figures["goodput_per_s"] = None
    result.write_bytes(msgspec.json.format(msgspec.json.encode(figures)))


def _verdict(code: int, good: str) -> str:
    return good if code == 0 else f"failed ({how_it_ended(code)})"
