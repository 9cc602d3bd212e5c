"""What the panel's buttons leave behind: rules beside those of others, and undoing at any time."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from common import ROOT
from common.faults.failpoints import Rule, Rules, read_rules, write_rules
from panel.actions import LISTED_MAX, Acting, ActionError
from panel.guard import Guard


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


# --- its sentences ------------------------------------------------------------------------------

# Calls whose first argument a person reads, and names that hold such a text.
_SAYING = {"ActionError", "_note", "nothing"}
_WORD = re.compile(r"[a-zà-ú]{3}")


def _texts(node: ast.AST) -> Iterator[str]:
    """The texts of an expression, {} for what is put into them."""
    if isinstance(node, ast.JoinedStr):
        yield "".join(
            str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values
        )
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _texts(node.body)
        yield from _texts(node.orelse)


def _said(node: ast.AST) -> list[ast.expr | None]:
    """What of a node is said to a person."""
    match node:
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=[said, *_]):
            return [said] if name in _SAYING else []
        case ast.Assign(targets=[ast.Name(id="words")], value=said):
            return [said]
        case ast.AnnAssign(target=ast.Name(id="PROBLEMS"), value=ast.Dict(values=values)):
            return [*values]
        case ast.Dict(keys=[ast.Constant(value="erro")], values=[said]):
            return [said]
        case ast.Return(value=ast.Tuple(elts=[ast.Constant(), said])):
            return [said]
        case ast.FunctionDef(name="_lacking", body=body):
            return [each.value for each in body if isinstance(each, ast.Return)]
    return []


def _sentences(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        for said in _said(node):
            if said is not None:
                yield from _texts(said)


def test_tudo_o_que_o_painel_diz_tem_ingles() -> None:
    """Each sentence of the server's is in the page's table, and the table has no others."""
    said = {
        sentence
        for path in (ROOT / "panel").glob("*.py")
        for sentence in _sentences(ast.parse(path.read_text("utf-8")))
        if _WORD.search(sentence)
    }
    table = (ROOT / "panel" / "assets" / "frases.js").read_text("utf-8")
    known = dict(re.findall(r'^  "(.+)": "(.+)",$', table, re.MULTILINE))
    assert said == set(known)
    assert all(pt.count("{}") == en.count("{}") for pt, en in known.items())
