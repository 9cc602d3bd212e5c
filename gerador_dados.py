"""Makes the synthetic shop: `python gerador_dados.py --help`.

The same options, seed and reference date give the same shop. `gerar`, `Opcoes` and `Resumo` do the
same from Python.
"""

from __future__ import annotations

import argparse
import signal
import sqlite3
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn, Self

from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from common.shop.generator import Opcoes, Resumo, gerar

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Opcoes", "Resumo", "gerar", "main"]

ARQUIVO: Final = Path("ecommerce.db")

# Exit codes: a request refused before anything was done, work that failed, a signal.
RECUSADO: Final = 2
FALHOU: Final = 1
INTERRUPTED_WORDS: Final = 128

# Seconds of silence: a small shop is made without a word, a large one shows that it lives.
_SILENCIO_S: Final = 3.0


class _Parser(argparse.ArgumentParser):
    """Refuses in one line; argparse would print the whole usage before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(RECUSADO, f"{self.prog}: {message}\n")


class _Progresso:
    """Says how far the work is: a bar on a terminal, otherwise a line now and then."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._proximo = time.monotonic() + _SILENCIO_S
        self._barra = Progress(
            TextColumn("writing"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._tarefa = self._barra.add_task("")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_erro: object) -> None:
        if self._barra.live.is_started:
            self._barra.stop()

    def __call__(self, feitos: int, total: int) -> None:
        """Tell that `feitos` of `total` records are written."""
        if time.monotonic() < self._proximo:
            return
        if self._console.is_terminal:
            self._barra.start()
            self._barra.update(self._tarefa, completed=feitos, total=total)
        else:
            sys.stderr.write(f"{feitos:,} of {total:,} records ({feitos / total:.0%})\n")
            self._proximo = time.monotonic() + _SILENCIO_S


def main(argumentos: Sequence[str] | None = None) -> int:
    """Make the shop that the command line asks for; the exit code."""
    parser = _parser()
    pedido = parser.parse_args(argumentos)
    destino = Path(ARQUIVO if pedido.output is None else pedido.output)
    try:
        opcoes = Opcoes(
            clientes=pedido.clientes,
            produtos=pedido.produtos,
            pedidos=pedido.pedidos,
            estoque=pedido.estoque,
            semente=pedido.seed,
            data=pedido.data,
        )
        _conferir_destino(destino, substituir=pedido.force or pedido.output is None)
    except ValueError as erro:
        parser.error(str(erro))
    existia = destino.exists()
    try:
        with _Progresso() as progresso:
            resumo = gerar(destino, opcoes, progresso)
    except (OSError, sqlite3.Error) as erro:
        sys.stderr.write(f"{parser.prog}: cannot write {destino}: {erro}\n")
        return FALHOU
    except KeyboardInterrupt as interrupcao:
        sys.stderr.write(f"{parser.prog}: interrupted; {destino} is as it was\n")
        sinal = interrupcao.args[0] if interrupcao.args else signal.SIGINT
        return INTERRUPTED_WORDS + int(sinal)
    _mostrar(resumo, "replaced" if existia else "wrote")
    return 0


def _interromper(sinal: int, _quadro: object) -> NoReturn:
    # Being asked to end must clean up as Ctrl-C does.
    raise KeyboardInterrupt(sinal)


def _parser() -> argparse.ArgumentParser:
    padrao = Opcoes()
    parser = _Parser(
        prog="gerador_dados.py",
        description="Make the synthetic shop: customers, products and a possible past.",
        epilog="The same options, --seed and --data give the same shop. Exit codes: 0 made, "
        f"{FALHOU} could not be written, {RECUSADO} refused, nothing touched.",
        allow_abbrev=False,
    )
    for nome, valor, ajuda in (
        ("clientes", padrao.clientes, "customers"),
        ("produtos", padrao.produtos, "products"),
        ("pedidos", padrao.pedidos, "past orders"),
        ("seed", padrao.semente, "seed of every draw"),
    ):
        ajuda_completa = f"{ajuda} (default: {valor})"
        parser.add_argument(f"--{nome}", type=int, default=valor, metavar="N", help=ajuda_completa)
    parser.add_argument(
        "--estoque",
        type=_faixa,
        default=padrao.estoque,
        metavar="LO:HI",
        help="units of a product in stock, from LO to HI (default: {}:{})".format(*padrao.estoque),
    )
    parser.add_argument(
        "--data",
        type=_dia,
        default=padrao.data,
        metavar="YYYY-MM-DD",
        help="reference date; the past is the 90 days before it (default: today)",
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        help=f"file to write (default: {ARQUIVO}, replaced if it exists)",
    )
    parser.add_argument(
        "--force", action="store_true", help="replace the file that --output names, if it exists"
    )
    return parser


def _faixa(texto: str) -> tuple[int, int]:
    try:
        menor, maior = texto.split(":")
        return int(menor), int(maior)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected LO:HI, such as 0:100, not {texto!r}") from None


def _dia(texto: str) -> date:
    try:
        dia = date.fromisoformat(texto)
    except ValueError:
        dia = None
    # fromisoformat also reads other ISO 8601 forms, such as weeks.
    if dia is None or dia.isoformat() != texto:
        raise argparse.ArgumentTypeError(f"expected a day as YYYY-MM-DD, not {texto!r}")
    return dia


def _conferir_destino(destino: Path, *, substituir: bool) -> None:
    """Raise ValueError, one sentence, when `destino` must not or cannot be written."""
    pasta = destino.absolute().parent
    if not pasta.is_dir():
        raise ValueError(f"the folder {pasta} does not exist")
    if destino.exists() and not destino.is_file():
        raise ValueError(f"{destino} exists and is not a file")
    if destino.exists() and not substituir:
        raise ValueError(f"{destino} exists; --force replaces it")
    try:
        # Permissions alone do not tell: the disk may be mounted read-only.
        tempfile.TemporaryFile(dir=pasta).close()
    except OSError as erro:
        raise ValueError(f"the folder {pasta} cannot be written to: {erro.strerror}") from erro


def _mostrar(resumo: Resumo, feito: str) -> None:
    console = Console(highlight=False, soft_wrap=True)
    tabela = Table("table", "rows", "orders by status", "rows", box=SIMPLE)
    for coluna in (1, 3):
        tabela.columns[coluna].justify = "right"
    linhas, status = resumo.linhas.items(), resumo.status_pedidos.items()
    for (nome, quantas), (palavra, quantos) in zip(linhas, status, strict=True):
        tabela.add_row(nome, f"{quantas:,}", palavra, f"{quantos:,}")
    console.print(tabela)
    opcoes = resumo.opcoes
    console.print(
        f"{feito} {resumo.caminho.absolute()}, {resumo.tamanho_bytes / 1e6:,.1f} MB,"
        f" in {resumo.duracao_s:.1f} s (seed {opcoes.semente}, reference date {opcoes.data})",
        markup=False,
    )
    menor, maior = opcoes.estoque
    console.print(
        "again: python gerador_dados.py"
        f" --clientes {opcoes.clientes} --produtos {opcoes.produtos} --pedidos {opcoes.pedidos}"
        f" --estoque {menor}:{maior} --seed {opcoes.semente} --data {opcoes.data}",
        markup=False,
    )


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _interromper)
    sys.exit(main())
