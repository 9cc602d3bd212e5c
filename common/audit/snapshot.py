"""One moment of the whole shop: every file read-only, in an order that makes the facts agree.

All files are attached to one in-memory connection and read inside one transaction, in which the
view of a file begins when it is first read. Pedidos comes first, so whatever it says has ended is
visible, whole, in the files read after it. It is attached a second time and read last, so whatever
the others know of an order is visible there.

The files are opened with mode=ro and never as immutable: services may be writing to them.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Final, get_args

from common import contratos
from common.audit.endings import WAYS
from common.audit.functions import define
from common.audit.report import AuditError
from common.servicos import estoque, fiscal, logistica
from common.servicos.pagamentos import pagamentos
from common.servicos.pedidos import livro
from common.servicos.protocolo.passo import IMPORTADO
from common.storage.connection import BUSY_TIMEOUT_MS
from common.storage.files import GATEWAY, SALAS, DatabaseError, Sala, database_path, recognise

if TYPE_CHECKING:
    from pathlib import Path

    from common.servicos.protocolo.transicoes import Transicoes

# In the order of reading.
FILES: Final = (*SALAS, GATEWAY.nome)
# Pedidos once more, read last.
LATER: Final = "pedidos_depois"

TABELAS: Final[dict[str, Transicoes]] = {
    "pedidos": livro.TRANSICOES,
    "pagamentos": pagamentos.TRANSICOES,
    "estoque": estoque.TRANSICOES,
    "fiscal": fiscal.TRANSICOES,
    "logistica": logistica.TRANSICOES,
}

# KiB. Enough for the indexes of a large shop; what does not fit goes to a temporary file.
_CACHE_KIB: Final = 64 * 1_024

# `driven` are the orders that the services made, `ended` those of them that are terminal: a
# terminal order never changes, so only of them may the full shape be asked. `later` is Pedidos'
# second reading, `answer` what a client is told of an order, letter for letter as it travels, and
# `body` what an order was asked with.
_VIEWS: Final = """
CREATE TEMP VIEW driven AS SELECT * FROM pedidos.pedidos WHERE origem = 'loja';
CREATE TEMP VIEW ended AS SELECT * FROM driven WHERE status IN ('enviado', 'cancelado');
CREATE TEMP VIEW later AS SELECT * FROM pedidos_depois.pedidos WHERE origem = 'loja';
CREATE TEMP VIEW answer AS
SELECT id AS pedido_id, json_object(
    'pedido_id', id, 'status', status, 'motivo', motivo,
    'valor_total_centavos', valor_total_centavos,
    'pagamento', json(CASE WHEN pagamento_status IS NOT NULL THEN
        json_object('status', pagamento_status, 'metodo', COALESCE(metodo, '')) END),
    'nota_fiscal', json(CASE WHEN nota_numero IS NOT NULL THEN
        json_object('numero', nota_numero, 'chave_acesso', COALESCE(nota_chave, '')) END),
    'envio', json(CASE WHEN envio_codigo IS NOT NULL THEN
        json_object('codigo_rastreamento', envio_codigo, 'status', COALESCE(envio_status, '')) END)
) AS answer
FROM pedidos_depois.pedidos;
CREATE TEMP VIEW body AS
SELECT id AS pedido_id, chave_idempotencia, cliente_id || '|' || metodo || '|' || (
    SELECT group_concat(produto_id || ':' || quantidade, ',') FROM (
        SELECT produto_id, quantidade FROM pedidos_depois.itens_pedido
        WHERE pedido_id = later.id ORDER BY linha)) AS body
FROM later;
CREATE TEMP TABLE legal (servico TEXT, de TEXT, para TEXT, PRIMARY KEY (servico, de, para))
WITHOUT ROWID;
CREATE TEMP TABLE way (status TEXT, motivo TEXT, caminho TEXT);
CREATE TEMP TABLE word (kind TEXT, word TEXT, PRIMARY KEY (kind, word)) WITHOUT ROWID
"""


def sala_of(nome: str) -> Sala:
    """What a file must be, by its name."""
    return GATEWAY if nome == GATEWAY.nome else SALAS[nome]


def attach(data_dir: Path) -> sqlite3.Connection:
    """A connection with every file attached under its service's name; nothing is frozen yet.

    Raises AuditError for a file that is missing, unreadable, or not of this shop.
    """
    if not data_dir.is_dir():
        msg = f"the data directory {data_dir} does not exist"
        raise AuditError(msg)
    con = sqlite3.connect(":memory:", uri=True, isolation_level=None)
    try:
        con.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        con.execute(f"PRAGMA temp.cache_size = -{_CACHE_KIB}")
        define(con)
        shops = {nome: _attach_file(con, data_dir, nome) for nome in FILES}
        con.execute(f"ATTACH ? AS {LATER}", (_uri(data_dir, "pedidos"),))
        _same_shop(data_dir, shops)
        # One transaction for the whole audit; no file takes part in it before it is read.
        con.execute("BEGIN")
    except BaseException:
        con.close()
        raise
    return con


def freeze(con: sqlite3.Connection) -> None:
    """Read every file once, in order: from here on nothing moves."""
    for schema in (*FILES, LATER):
        # Touching any table begins the file's view; meta is the smallest.
        con.execute(f"SELECT count(*) FROM {schema}.meta").fetchone()  # noqa: S608 - ours
    for statement in _VIEWS.split(";"):
        con.execute(statement)
    con.executemany(
        "INSERT OR IGNORE INTO legal VALUES (?, ?, ?)",
        [
            (servico, de, para)
            for servico, tabela in TABELAS.items()
            for (de, _), para in tabela.items()
        ],
    )
    con.executemany("INSERT INTO way VALUES (?, ?, ?)", WAYS)
    words = [("motivo", motivo) for motivo in get_args(contratos.Motivo)]
    # The steps between are told in the log alone; a row never holds them.
    words += [("pedidos", status) for status in ("pendente", "cancelando", *livro.TERMINAIS)]
    for servico, tabela in list(TABELAS.items())[1:]:
        words += [(servico, estado) for estado in {IMPORTADO, *tabela.values()}]
    con.executemany("INSERT INTO word VALUES (?, ?)", words)


def _attach_file(con: sqlite3.Connection, data_dir: Path, nome: str) -> str | None:
    """Attach one file and check whose it is; returns the fingerprint of the shop it came from."""
    path = database_path(data_dir, nome)
    if not path.is_file():
        msg = f"{path} does not exist; nothing has run with this data directory yet"
        raise AuditError(msg)
    sala = sala_of(nome)
    try:
        con.execute(f"ATTACH ? AS {nome}", (_uri(data_dir, nome),))
        registro = recognise(con, path, sala, schema=nome)
    except DatabaseError as error:
        raise AuditError(str(error)) from None
    except sqlite3.Error as error:
        msg = f"cannot read {path}: {error}"
        raise AuditError(msg) from error
    if registro.versao != sala.versao:
        msg = (
            f"{path} has schema version {registro.versao}, the audit reads {sala.versao}: "
            "start the services once, which brings it forward"
        )
        raise AuditError(msg)
    return registro.loja


def _same_shop(data_dir: Path, shops: dict[str, str | None]) -> None:
    for nome, shop in shops.items():
        if shop is not None and shop != shops["pedidos"]:
            first, other = database_path(data_dir, "pedidos"), database_path(data_dir, nome)
            msg = f"{first} and {other} were imported from different shops"
            raise AuditError(msg)


def _uri(data_dir: Path, nome: str) -> str:
    return f"{database_path(data_dir, nome).absolute().as_uri()}?mode=ro"
