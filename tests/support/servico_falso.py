"""A service as its supervisor sees it: a ready line, an exit code, a signal, a pipe.

`python servico_falso.py SERVICO ENDERECO MODO`; standard library only, so that it starts at once.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading


def main(servico: str, endereco: str, modo: str) -> int:
    """Behave as `modo` says: normal, surdo, inutil or quebrado."""
    if modo == "inutil":
        print(f"{servico}: its database is a potato", file=sys.stderr)
        return 3
    if modo == "quebrado":
        print(f"{servico} says why it broke", file=sys.stderr)
        return 7
    fim = threading.Event()

    def avisar(*_sinal: object) -> None:
        # Not print: the signal may come in the middle of one, which must not be entered twice.
        os.write(1, f"{servico} was told\n".encode())
        if modo != "surdo":
            fim.set()

    signal.signal(signal.SIGTERM, avisar)
    threading.Thread(target=lambda: (os.read(0, 1), fim.set()), daemon=True).start()
    print("before ready", file=sys.stderr, flush=True)
    print(json.dumps({"ready": servico, "address": endereco, "pid": os.getpid()}), flush=True)
    # Woken now and then, since a signal handler runs only between two steps of this thread.
    while not fim.wait(0.05):
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
