"""Every column, every part of every schema, every field of a history: a change of it is seen, or said."""

from __future__ import annotations

import re
import shutil
import sqlite3
from contextlib import closing
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

import pytest

from common import ROOT
from common.audit import AuditError, audit
from common.audit.snapshot import FILES
from common.storage.files import database_path
from tests.support.audit_support import corromper, escrever_historia
from tests.support.shops_that_lived import Vivida, vermelhas

PROMISES: Final = (ROOT / "docs" / "promises.md").read_text("utf-8")

# What a value may become, by SQL on the column: nothing, one that was never there, another row's.
MUDANCAS: Final = (
    "NULL",
    """CASE typeof({c}) WHEN 'integer' THEN {c} + 1000003 WHEN 'real' THEN {c} + 1e7
    WHEN 'blob' THEN zeroblob(16) ELSE 'outro' END""",
    "(SELECT max({c}) FROM {t} WHERE {c} <> (SELECT {c} FROM {t} WHERE {onde}))",
)
# Orders that are struck: all went well, undone everywhere, refused behind an effect.
STRUCK: Final = ("enviado", "solicitado", "estoque_insuficiente")


def _nao_julgadas() -> set[str]:
    """The columns that docs/promises.md says are not judged."""
    section = (
        (PROMISES + "### What it does not see")
        .split("### What it does not see")[1]
        .split("\n## ")[0]
    )
    return set(re.findall(r"^\| `(\w+\.\w+\.\w+)` \|", section, re.MULTILINE))


def _colunas(caminho: Path) -> list[tuple[str, str]]:
    """Every column of every table of a file."""
    with closing(sqlite3.connect(caminho)) as con:
        return con.execute(
            """SELECT t.name, c.name FROM sqlite_master AS t, pragma_table_info(t.name) AS c
            WHERE t.type = 'table' ORDER BY 1, c.cid"""
        ).fetchall()


def _linhas(tabela: str, colunas: list[str], pedidos: list[int]) -> list[str]:
    """Which rows are struck: those of some orders where a table has orders, else one."""
    if tabela == "meta":
        return [f"chave = '{chave}'" for chave in ("servico", "versao", "loja", "importado")]
    if tabela == "cobrancas":
        return [f"chave = 'pedido-{pedido}'" for pedido in pedidos]
    if tabela == "pedidos":
        return [f"id = {pedido}" for pedido in pedidos]
    if "pedido_id" not in colunas:
        return [f"rowid = (SELECT max(rowid) FROM {tabela})"]
    chave = "linha" if tabela == "itens_pedido" else "id" if "id" in colunas else "pedido_id"
    # The first and the last row of an order; the opening movements are nobody's.
    return [
        f"pedido_id IS {pedido} AND {chave} = (SELECT {qual}({chave}) FROM {tabela}"
        f" WHERE pedido_id IS {pedido})"
        for pedido in (*pedidos, "NULL")
        for qual in (("min", "max") if chave == "id" else ("min",))
    ]


def _muda(caminho: Path, tabela: str, coluna: str, onde: str, mudanca: str) -> bool:
    """Change one value; False when there is none, it stays as it was, or SQLite forbids it."""
    novo = mudanca.format(c=coluna, t=tabela, onde=onde)
    with closing(sqlite3.connect(caminho, isolation_level=None)) as con:
        ler = f"SELECT {coluna} FROM {tabela}"
        antes = con.execute(ler).fetchall()
        con.execute("PRAGMA ignore_check_constraints = ON")
        try:
            con.execute(f"UPDATE {tabela} SET {coluna} = {novo} WHERE {onde}")
        except sqlite3.IntegrityError:
            return False
        return con.execute(ler).fetchall() != antes


def _viu(data_dir: Path, **mais: Any) -> bool:
    """True when the audit finds something, or says that it cannot be done."""
    try:
        return bool(vermelhas(audit(data_dir, **mais)))
    except AuditError:
        return True


@pytest.mark.parametrize("nome", FILES)
def test_cada_coluna_e_vista_ou_dita(vivida: Vivida, tmp_path: Path, nome: str) -> None:
    """One value changed, of any column of any table, turns a rule red, unless it is said not to."""
    caminho = database_path(vivida.data_dir, nome)
    copia = shutil.copy(caminho, tmp_path / "copia.db")
    todas = _colunas(caminho)
    pedidos = [*(vivida.destinos[destino][3] for destino in STRUCK), 1]
    mudadas, caladas = set(), set()
    for tabela, coluna in todas:
        colunas = [c for t, c in todas if t == tabela]
        for onde in _linhas(tabela, colunas, pedidos):
            for mudanca in MUDANCAS:
                if not _muda(caminho, tabela, coluna, onde, mudanca):
                    continue
                mudadas.add((tabela, coluna))
                if not _viu(vivida.data_dir):
                    caladas.add(f"{nome}.{tabela}.{coluna}")
                shutil.copy(copia, caminho)
    assert caladas == {coluna for coluna in _nao_julgadas() if coluna.startswith(f"{nome}.")}
    assert mudadas == set(todas), "some column was never changed"


# --- schemas ----------------------------------------------------------------------------------

# Parts of a definition that say a rule; without one the table takes what it must not.
REGRAS: Final = re.compile(
    r" NOT NULL| UNIQUE| CHECK \(\w+ >=? \d+\)| CHECK \(id = 1\)| CHECK \(tipo IN \([^)]*\)\)"
    r"| DEFAULT '?\w+'?| REFERENCES \w+ \(id\)|\n    WHERE [^\n]*"
)


def _reescrito(caminho: Path, nome: str, sql: str) -> None:
    """Have an object of a schema say something else than what its rows were written under."""
    with closing(sqlite3.connect(caminho, isolation_level=None)) as con:
        con.execute("PRAGMA writable_schema = ON")
        con.execute("UPDATE sqlite_master SET sql = ? WHERE name = ?", (sql, nome))


@pytest.mark.parametrize("nome", FILES)
def test_cada_regra_de_cada_esquema_e_vista(vivida: Vivida, tmp_path: Path, nome: str) -> None:
    """A rule of a column taken out, an object dropped or renamed, a trigger added: all are seen."""
    caminho = database_path(vivida.data_dir, nome)
    copia = shutil.copy(caminho, tmp_path / "copia.db")
    with closing(sqlite3.connect(caminho)) as con:
        objetos = con.execute(
            "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid"
        ).fetchall()
    afrouxadas = 0
    for tipo, objeto, sql in objetos:
        for regra in REGRAS.finditer(sql):
            _reescrito(caminho, objeto, sql[: regra.start()] + sql[regra.end() :])
            assert _viu(vivida.data_dir), (objeto, regra[0])
            afrouxadas += 1
            shutil.copy(copia, caminho)
        outros = [f"DROP {tipo} {objeto}"]
        if tipo == "table":
            outros += [
                f"ALTER TABLE {objeto} ADD COLUMN a_mais",
                f"CREATE INDEX a_mais ON {objeto} (1)",
                f"CREATE TRIGGER a_mais AFTER DELETE ON {objeto} BEGIN SELECT 1; END",
                f"CREATE VIEW a_mais AS SELECT * FROM {objeto}",
            ]
        for comando in outros:
            corromper(vivida.data_dir, nome, comando)
            assert _viu(vivida.data_dir), comando
            shutil.copy(copia, caminho)
    assert afrouxadas >= len(objetos)
    assert not _viu(vivida.data_dir), "the last copy is sound again"


def test_o_esquema_de_um_arquivo_trazido_adiante_e_o_mesmo(vivida: Vivida) -> None:
    """Quotes, white space, comments and the order of columns make no other schema."""
    caminho = database_path(vivida.data_dir, "logistica")
    with closing(sqlite3.connect(caminho)) as con:
        (sql,) = con.execute("SELECT sql FROM sqlite_master WHERE name = 'envios'").fetchone()
    colunas = sql[sql.index("(") + 1 : sql.rindex(")")].split(",")
    outro = 'CREATE TABLE "envios" ( -- as it came\n' + " ,\n".join(colunas[::-1]) + ")"
    with closing(sqlite3.connect(caminho, isolation_level=None)) as con:
        nomes = [coluna.split()[0] for coluna in colunas]
        con.executescript(f"""
            PRAGMA legacy_alter_table = ON; {outro.replace('"envios"', "copia")};
            INSERT INTO copia ({", ".join(nomes)}) SELECT {", ".join(nomes)} FROM envios;
            DROP TABLE envios; ALTER TABLE copia RENAME TO envios; ANALYZE;
        """)
    assert not _viu(vivida.data_dir)


# --- histories --------------------------------------------------------------------------------

# Fields of a line whose change says nothing untrue: a text for people.
SEM_VERDADE: Final = {"detail"}


def _folhas(valor: Any, caminho: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value within a line."""
    if isinstance(valor, dict):
        return [folha for k, v in valor.items() for folha in _folhas(v, (*caminho, k))]
    if isinstance(valor, list | tuple):
        return [folha for k, v in enumerate(valor) for folha in _folhas(v, (*caminho, k))]
    return [caminho]


def _trocado(campo: Any, valor: Any) -> Any:
    """Another value that a line may have there."""
    outros = {
        "type": {"invoke": "info", "ok": "invoke", "fail": "invoke", "info": "invoke"},
        "op": {"criar_pedido": "consultar_pedido", "consultar_pedido": "cancelar_pedido",
               "cancelar_pedido": "consultar_pedido"},
        "metodo_pagamento": {"pix": "boleto"},
        "kind": {"precondicao": "nao_encontrado", "nao_encontrado": "precondicao"},
        "motivo": {None: "expirado", "solicitado": "expirado"},
        "status": {"pendente": "cancelado", "cancelado": "pendente", "enviado": "cancelado",
                   "cancelando": "pendente"},
    }  # fmt: skip
    if campo in outros and valor in outros[campo]:
        return outros[campo][valor]
    if campo == "time_ns":
        return 1
    if isinstance(valor, int):
        return valor + 1
    if isinstance(valor, str):
        return valor[::-1] if campo == "chave_acesso" else f"{valor}x"
    assert campo in {"pagamento", "nota_fiscal", "envio"}, campo
    return {
        "pagamento": {"status": "aprovado", "metodo": "pix"},
        "nota_fiscal": {"numero": "NF000000001", "chave_acesso": "3" * 44},
        "envio": {"codigo_rastreamento": "BR000000001PY", "status": "enviado"},
    }[campo]


def test_cada_campo_de_cada_linha_e_visto(molde: Vivida, tmp_path: Path) -> None:
    """One field changed, of any kind of line of a history, turns a rule red."""
    pedidos = {molde.destinos["enviado"][0], molde.destinos["solicitado"][3]}
    chaves = {x["key"] for x in molde.historia if x.get("pedido_id") in pedidos}
    tipos = set()
    for numero, linha in enumerate(molde.historia):
        if linha["key"] not in chaves | {"desconhecida"}:
            continue
        tipos.add((linha["type"], linha["op"]))
        for folha in _folhas(linha):
            if folha[-1] in SEM_VERDADE:
                continue
            linhas = list(molde.historia)
            linhas[numero] = nova = deepcopy(linha)
            for passo in folha[:-1]:
                nova = nova[passo]
            if isinstance(nova, tuple):
                continue
            nova[folha[-1]] = _trocado(folha[-1], nova[folha[-1]])
            historia = escrever_historia(tmp_path / "h.jsonl", linhas)
            assert _viu(molde.data_dir, history=historia, complete=True), (linha, folha)
    operacoes = ("criar_pedido", "consultar_pedido", "cancelar_pedido")
    assert tipos == {
        *((tipo, op) for tipo in ("invoke", "ok") for op in operacoes),
        *(("fail", op) for op in operacoes[1:]),
    }
