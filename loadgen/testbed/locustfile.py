"""Locust's fastest user buying from the trivial server: the known tool beside ours, in CPU a request.

Run by `python -m loadgen.cost --locust PYTHON` in an interpreter that has Locust, never imported
here: gevent replaces parts of the standard library. It writes what it used to the file that
CUSTO_LOCUST names.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from locust import FastHttpUser, events, task

BODY = b'{"cliente_id":1,"itens":[{"produto_id":1,"quantidade":2}],"metodo_pagamento":"pix"}'
_begin: dict[str, float] = {}


class Buyer(FastHttpUser):
    """Buys again as soon as it has its answer."""

    @task
    def buy(self) -> None:
        """Place an order."""
        self.client.post("/pedidos", data=BODY, headers={"Content-Type": "application/json"})


@events.test_start.add_listener
def begin(**_: Any) -> None:
    """Imports are over, the users begin."""
    _begin.update(at=time.monotonic(), cpu_s=time.process_time())


@events.test_stop.add_listener
def end(environment: Any, **_: Any) -> None:
    """The time is over."""
    total = environment.stats.total
    spent = {
        "orders": total.num_requests - total.num_failures,
        "seconds": time.monotonic() - _begin["at"],
        "cpu_s": time.process_time() - _begin["cpu_s"],
    }
    Path(os.environ["CUSTO_LOCUST"]).write_text(json.dumps(spent))
