"""What travels of a deadline: it never grows, and no two clocks are taken for one."""

from __future__ import annotations

import time
from math import inf
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.erros import Categoria, ErroServico
from common.option_types import DEADLINE_DEFAULT_S
from common.servicos.protocolo.contexto import Contexto
from common.serving import deadline
from common.settings import HOP_RESERVE_S

DAY_S = deadline.TIMEOUT_MAX_MS / 1e3


@given(st.floats(1e-3, DAY_S), st.floats(1.0, 1e7))
def test_no_caminho_um_prazo_so_se_aproxima(remaining: float, since: float) -> None:
    """Read where it arrives, at once or on the same clock, a deadline is no later, nor a millisecond earlier."""
    timeout_ms, at = deadline.sent(remaining, since + remaining)
    for read in (
        deadline.deadline(since, timeout_ms),
        deadline.deadline(since, at=at),
        deadline.deadline(since, timeout_ms, at),
    ):
        exact = since + remaining - HOP_RESERVE_S
        # What floats of that size can tell apart is not at issue.
        assert exact - 1e-3 - 1e-7 <= read <= exact + 1e-7


def test_menos_de_um_milissegundo_nao_se_diz() -> None:
    """A call with less than a millisecond left is not sent, one without a deadline has none."""
    for left_s in (-1.0, 0.0, 9e-4):
        with pytest.raises(ErroServico) as refused:
            deadline.outgoing(Contexto(time.monotonic() + left_s))
        assert refused.value.categoria is Categoria.PRAZO
    assert deadline.outgoing(Contexto(inf)) is None
    assert deadline.outgoing(Contexto(time.monotonic() + 2 * DAY_S)) == DAY_S


def test_o_mais_cedo_vale_e_sem_nenhum_o_padrao() -> None:
    """Of what came the earliest counts, a day is the most, and without any the default counts."""
    own = f"{deadline.RELOGIO}:{int(105e9)}"
    assert deadline.deadline(100.0, "6000", own, 107.0) == 105.0 - HOP_RESERVE_S
    assert deadline.deadline(100.0, "4000", own, 107.0) == 104.0 - HOP_RESERVE_S
    assert deadline.deadline(100.0, "6000", own, 103.0) == 103.0 - HOP_RESERVE_S
    assert deadline.deadline(100.0) == 100.0 + DEADLINE_DEFAULT_S - HOP_RESERVE_S
    assert deadline.deadline(100.0, at="outro:1") == deadline.deadline(100.0)
    late = f"{deadline.RELOGIO}:{'9' * 19}"
    assert deadline.deadline(100.0, at=late) == 100.0 + DAY_S - HOP_RESERVE_S


def test_o_id_de_um_relogio_e_so_de_quem_o_le(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes of one boot and one time namespace share an id; of others none."""

    def seen_from(boot: bytes, namespace: int) -> str:
        monkeypatch.setattr(Path, "read_bytes", lambda _path: boot)
        monkeypatch.setattr(Path, "stat", lambda _path: SimpleNamespace(st_ino=namespace))
        return deadline.clock_id()

    assert seen_from(b"boot", 1) == seen_from(b"boot", 1)
    assert len({seen_from(b"boot", 1), seen_from(b"boot", 2), seen_from(b"another", 1)}) == 3


def test_sem_id_do_sistema_ninguem_tem_o_mesmo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system names no boot, no two processes believe that they read one clock."""

    def missing(_path: Path) -> bytes:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_bytes", missing)
    ids = {deadline.clock_id() for _ in range(8)}
    assert len(ids) == 8
    assert all(deadline.deadline(100.0, at=f"{each}:1") == deadline.deadline(100.0) for each in ids)
