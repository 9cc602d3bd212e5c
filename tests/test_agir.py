"""What the panel's buttons leave behind: rules beside those of others, and undoing at any time."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from common.failpoints import Rule, Rules, read_rules, write_rules
from panel.acting import LISTED_MAX, Acting, ActionError
from panel.guarding import Guard


def rule(name: str) -> Rule:
    return Rule(id=name, service="fiscal", point="P0", action="delay", seconds=1.0)


def ids(path: Path) -> list[str]:
    return [each.id for each in read_rules(path).rules]


def test_as_regras_de_outros_ficam(tmp_path: Path) -> None:
    """Also after the panel's own are taken back; those of a panel that died end with the next."""
    path = tmp_path / "falhas.json"
    write_rules(path, Rules((rule("minha"), rule("painel-7"))))
    acting = Acting(tmp_path, path)
    acting.begin()
    assert ids(path) == ["minha"]
    acting.strike("slow", "estoque", 0.5)
    assert ids(path) == ["minha", "painel-1"]
    acting.undo_all()
    assert ids(path) == ["minha"]


def test_o_que_se_pode_desfazer_fica_na_lista(tmp_path: Path) -> None:
    path = tmp_path / "falhas.json"
    acting = Acting(tmp_path, path)
    acting.strike("slow", "estoque", 0.5)
    first = acting.done[0]
    for _ in range(LISTED_MAX + 10):
        acting.strike("errors", "fiscal", 0.5)
        acting.undo(acting.done[-1].id)
    assert acting.done[0] is first
    assert len(acting.done) == LISTED_MAX + 1
    acting.undo(first.id)
    assert ids(path) == []
    with pytest.raises(ActionError, match="não se desfaz"):
        acting.undo(first.id)


async def test_duas_cargas_ao_mesmo_tempo_sao_uma(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second is refused although the first has not begun yet."""
    acting, begun = Acting(tmp_path, None), []

    async def slowly(callers: int | None, rate: float | None) -> None:
        del rate
        if acting._load is not None:
            raise ActionError("já há uma carga")
        await asyncio.sleep(0.01)
        begun.append(callers)
        acting._load = asyncio.create_task(asyncio.sleep(0))

    monkeypatch.setattr(acting, "_start_load", slowly)
    found = await asyncio.gather(
        acting.start_load(1, None), acting.start_load(2, None), return_exceptions=True
    )
    assert begun == [1]
    assert [type(each) for each in found] == [type(None), ActionError]


async def test_dois_paineis_tem_cada_um_a_sua_chave() -> None:
    """Cookies know no ports: one panel's must not pass for, nor replace, the other's."""
    first, second = Guard(1, "a"), Guard(2, "b")
    cookies = {
        name: morsel.value
        for guard, token in ((first, "a"), (second, "b"))
        for name, morsel in guard._let_in(token).cookies.items()
    }
    assert len(cookies) == 2
    header = "; ".join(f"{name}={value}" for name, value in cookies.items())
    request = make_mocked_request("POST", "/carga", headers={"Cookie": header})
    assert isinstance(request, web.Request)
    assert first.allowed(request)
    assert second.allowed(request)
    assert not Guard(3, "a").allowed(request)
