"""A file of an older version is brought forward whole, or not at all."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

import pytest

from common.erros import Categoria, ErroServico
from common.servicos.protocolo.tabelas import Query
from common.storage.event_loop import Storage
from common.storage.files import DatabaseError, Sala, prepare
from tests.support.processes import ROOT
from tests.support.schema_support import consultar, mudar, retrato, versao_de

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# A service's file that has come a long way: a text and a trigger with semicolons, rows enough for
# the change to reach the disk before its commit, and a table made anew that another refers to.
CARTAS_1 = """
CREATE TABLE remetentes (id INTEGER PRIMARY KEY, nome TEXT NOT NULL);
CREATE TABLE cartas (
    id INTEGER PRIMARY KEY,
    remetente_id INTEGER NOT NULL REFERENCES remetentes (id),
    texto TEXT NOT NULL
)
"""
PARA_2 = """
ALTER TABLE cartas ADD COLUMN selo TEXT NOT NULL DEFAULT 'comum; sem valor';
UPDATE cartas SET texto = texto || '!';
CREATE TRIGGER sem_texto BEFORE INSERT ON cartas WHEN NEW.texto = '' BEGIN
    SELECT RAISE(ABORT, 'uma carta diz alguma coisa; sempre');
END;
"""
PARA_3 = """
CREATE TABLE novos (id INTEGER PRIMARY KEY, nome TEXT NOT NULL UNIQUE);
INSERT INTO novos SELECT id, nome FROM remetentes;
DROP TABLE remetentes;
ALTER TABLE novos RENAME TO remetentes;
"""
CARTAS_3 = """
CREATE TABLE remetentes (id INTEGER PRIMARY KEY, nome TEXT NOT NULL UNIQUE);
CREATE TABLE cartas (
    id INTEGER PRIMARY KEY,
    remetente_id INTEGER NOT NULL REFERENCES remetentes (id),
    texto TEXT NOT NULL,
    selo TEXT NOT NULL DEFAULT 'comum; sem valor'
);
CREATE TRIGGER sem_texto BEFORE INSERT ON cartas WHEN NEW.texto = '' BEGIN
    SELECT RAISE(ABORT, 'uma carta diz alguma coisa; sempre');
END
"""


class Total(NamedTuple):
    """A count or a sum."""

    total: int


TAMANHO: Query[Total] = Query("SELECT sum(length(texto)) FROM cartas", Total)
REMETENTES: Query[Total] = Query("SELECT count(*) FROM remetentes", Total)
VERSAO_1 = Sala("cartas", CARTAS_1)
VERSAO_2 = VERSAO_1._replace(migracoes=(PARA_2,))
VERSAO_3 = Sala("cartas", CARTAS_3, migracoes=(PARA_2, PARA_3))
# Above what SQLite keeps in memory of a transaction.
CARTAS, SIZE = 1_000, 4_000

# Dies by SIGKILL before or after a statement, having said how commits are flushed.
MORRENDO = """
import os, signal, sqlite3, sys
from functools import partial
from pathlib import Path

pasta, quando, trecho = sys.argv[1:]

class Morrendo(sqlite3.Connection):
    def execute(self, sql, *args):
        fatal = sql.strip().startswith(trecho)
        if fatal and quando == "depois":
            super().execute(sql, *args)
        if fatal:
            print(super().execute("PRAGMA synchronous").fetchone()[0], flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        return super().execute(sql, *args)

sqlite3.connect = partial(sqlite3.connect, factory=Morrendo)
from common.storage.files import prepare
from tests.storage.test_migracao import VERSAO_3
prepare(Path(pasta), VERSAO_3, None)
"""


def forma(path: Path) -> list[tuple]:
    """The columns, keys and indexes of every table, however they were written down."""
    return consultar(
        path,
        """SELECT t.name, 'coluna', c.name, c.type, c."notnull", c.dflt_value, c.pk
        FROM sqlite_schema t JOIN pragma_table_info(t.name) c WHERE t.type = 'table'
        UNION ALL SELECT t.name, 'chave', f."table", f."from", f."to", NULL, NULL
        FROM sqlite_schema t JOIN pragma_foreign_key_list(t.name) f WHERE t.type = 'table'
        UNION ALL SELECT t.name, 'indice', i."unique", i.origin, n.name, NULL, NULL
        FROM sqlite_schema t JOIN pragma_index_list(t.name) i JOIN pragma_index_info(i.name) n
        UNION ALL SELECT tbl_name, type, name, sql, NULL, NULL, NULL
        FROM sqlite_schema WHERE type = 'trigger'
        ORDER BY 1, 2, 3, 4""",
    )


@pytest.fixture
def cartas(tmp_path: Path) -> Path:
    """A file of the first version, with rows."""
    path = prepare(tmp_path, VERSAO_1, None)
    with closing(sqlite3.connect(path)) as con:
        con.execute("INSERT INTO remetentes VALUES (1, 'Ana'), (2, 'Rui')")
        con.executemany(
            "INSERT INTO cartas (remetente_id, texto) VALUES (?, ?)",
            [(1 + numero % 2, f"{numero:0{SIZE}d}") for numero in range(CARTAS)],
        )
        con.commit()
    return path


# --- Forward ------------------------------------------------------------------------------------


@pytest.mark.parametrize("salto", [(VERSAO_3,), (VERSAO_2, VERSAO_3)])
def test_arquivo_antigo_vem_ate_a_versao_do_programa(cartas: Path, salto: tuple[Sala, ...]) -> None:
    """One version at a start or all at once: rows kept and changed, the shape that of a new file."""
    for sala in salto:
        assert prepare(cartas.parent, sala, None) == cartas
        assert versao_de(cartas) == str(sala.versao)
    assert consultar(cartas, "SELECT count(*), sum(texto LIKE '%!'), min(selo) FROM cartas") == [
        (CARTAS, CARTAS, "comum; sem valor")
    ]
    assert consultar(cartas, "SELECT * FROM remetentes ORDER BY id") == [(1, "Ana"), (2, "Rui")]
    with pytest.raises(sqlite3.IntegrityError, match="alguma coisa; sempre"):
        mudar(cartas, "INSERT INTO cartas (remetente_id, texto) VALUES (1, '')")
    nova = cartas.parent / "nova"
    nova.mkdir()
    nova = prepare(nova, VERSAO_3, None)
    assert forma(cartas) == forma(nova)
    assert versao_de(nova) == "3"


@pytest.mark.parametrize(
    ("quando", "trecho", "versao"),
    [
        ("antes", "CREATE TRIGGER", "1"),
        ("antes", "ALTER TABLE novos", "1"),
        ("antes", "PRAGMA integrity_check", "1"),
        ("antes", "COMMIT", "1"),
        ("depois", "COMMIT", "3"),
    ],
)
def test_morto_na_migracao_fica_a_versao_de_antes_inteira(
    cartas: Path, quando: str, trecho: str, versao: str
) -> None:
    """Kill -9 anywhere before the commit leaves the old file; after it, the new one, on the disk."""
    antes = consultar(cartas, "SELECT * FROM cartas")
    morto = subprocess.run(
        [sys.executable, "-c", MORRENDO, cartas.parent, quando, trecho],
        cwd=ROOT, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert morto.returncode == -signal.SIGKILL, morto.stderr
    assert morto.stdout == "2\n"
    # The change was under way: a part of it had left the process.
    assert cartas.with_name("cartas.db-wal").stat().st_size > CARTAS * SIZE / 4
    if versao == "1":
        prepare(cartas.parent, VERSAO_1, None)
        assert consultar(cartas, "SELECT * FROM cartas") == antes
        assert "selo" not in str(forma(cartas))
    assert versao_de(cartas) == versao
    prepare(cartas.parent, VERSAO_3, None)
    assert versao_de(cartas) == "3"
    assert consultar(cartas, "SELECT id, remetente_id, texto FROM cartas") == [
        (numero, remetente, texto + "!") for numero, remetente, texto in antes
    ]


def estragar_uma_pagina(path: Path) -> None:
    """Overwrite a page of rows in the middle of a file."""
    with path.open("r+b") as arquivo:
        arquivo.seek(path.stat().st_size // 2 // 4096 * 4096)
        arquivo.write(b"\xff" * 4096)


async def test_pagina_estragada_so_se_ve_onde_e_lida(cartas: Path) -> None:
    """A start does not read every row: it takes the file, and who meets the damage learns nothing."""
    estragar_uma_pagina(cartas)
    banco = await Storage.open(prepare(cartas.parent, VERSAO_1, None))
    try:
        with pytest.raises(ErroServico) as erro:
            await banco.select(None, TAMANHO)
        assert erro.value.categoria is Categoria.INDISPONIVEL
        assert await banco.select(None, REMETENTES) == [(2,)]
    finally:
        await banco.close()


class Tropeco(NamedTuple):
    """A migration that cannot be: its last step, what was done to the file, and what is said."""

    passo: str
    motivo: str
    estrago: Callable[[Path], None] = lambda _path: None


TROPECOS = {
    "passo impossivel": Tropeco("ALTER TABLE nenhuma ADD COLUMN x", "no such table: nenhuma"),
    "passo sem fim": Tropeco("INSERT INTO remetentes VALUES (3, 'Eva", "unrecognized token"),
    "linhas que nao cabem": Tropeco(
        "CREATE UNIQUE INDEX uma_carta ON cartas (remetente_id)", "UNIQUE constraint failed"
    ),
    "chave sem linha": Tropeco(
        "DELETE FROM remetentes WHERE id = 2",
        "a row of cartas would name a row of remetentes that does not exist",
    ),
    "pagina estragada": Tropeco(
        "CREATE TABLE mais (id INTEGER PRIMARY KEY)", "damaged", estragar_uma_pagina
    ),
}


@pytest.mark.parametrize("nome", TROPECOS)
def test_migracao_que_falha_nao_toca_em_nada(cartas: Path, nome: str) -> None:
    """A later step that fails undoes the earlier ones; one line says why, and the file is as it was."""
    tropeco = TROPECOS[nome]
    tropeco.estrago(cartas)
    antes = retrato(cartas.parent)
    sala = VERSAO_1._replace(migracoes=("CREATE TABLE primeira (id INTEGER)", tropeco.passo))
    with pytest.raises(DatabaseError) as erro:
        prepare(cartas.parent, sala, None)
    assert str(erro.value).startswith(f"cannot bring {cartas} from schema version 1 to 3: ")
    assert tropeco.motivo in str(erro.value)
    assert "\n" not in str(erro.value)
    assert retrato(cartas.parent) == antes
    # The program that wrote it still reads it. Nobody but a check of every page sees a bad one.
    prepare(cartas.parent, VERSAO_1, None)
