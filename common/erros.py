"""What can go wrong, said once.

Every failure that a caller may see has exactly one category, and every category has exactly one
gRPC status code and one HTTP status. The tables are total (a test asserts it), so two transports
can never disagree on an error.

The code names are plain strings because this module is shared by arms that do not import grpc.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

import msgspec


class Categoria(Enum):
    """The kind of a failure, independent of the transport that reports it."""

    INVALIDO = "invalido"
    NAO_ENCONTRADO = "nao_encontrado"
    CONFLITO = "conflito"
    PRECONDICAO = "precondicao"
    SOBRECARGA = "sobrecarga"
    INDISPONIVEL = "indisponivel"
    PRAZO = "prazo_esgotado"
    PROIBIDO = "proibido"
    HOST = "host_alheio"
    METODO = "metodo_nao_permitido"
    SIZE = "corpo_grande_demais"
    MEDIA_TYPE = "tipo_de_midia"
    INTERNO = "interno"


GRPC_CODE: Final[dict[Categoria, str]] = {
    Categoria.INVALIDO: "INVALID_ARGUMENT",
    Categoria.NAO_ENCONTRADO: "NOT_FOUND",
    Categoria.CONFLITO: "ALREADY_EXISTS",
    Categoria.PRECONDICAO: "FAILED_PRECONDITION",
    Categoria.SOBRECARGA: "RESOURCE_EXHAUSTED",
    Categoria.INDISPONIVEL: "UNAVAILABLE",
    Categoria.PRAZO: "DEADLINE_EXCEEDED",
    Categoria.PROIBIDO: "PERMISSION_DENIED",
    # Nobody's browser comes as far as a gRPC service: only REST ever says it.
    Categoria.HOST: "PERMISSION_DENIED",
    Categoria.METODO: "UNIMPLEMENTED",
    # As gRPC itself answers a message over its receive limit.
    Categoria.SIZE: "RESOURCE_EXHAUSTED",
    Categoria.MEDIA_TYPE: "UNIMPLEMENTED",
    Categoria.INTERNO: "INTERNAL",
}

STATUS_HTTP: Final[dict[Categoria, int]] = {
    Categoria.INVALIDO: 400,
    Categoria.NAO_ENCONTRADO: 404,
    Categoria.CONFLITO: 409,
    Categoria.PRECONDICAO: 409,
    Categoria.SOBRECARGA: 503,
    Categoria.INDISPONIVEL: 503,
    Categoria.PRAZO: 504,
    Categoria.PROIBIDO: 403,
    Categoria.HOST: 421,
    Categoria.METODO: 405,
    Categoria.SIZE: 413,
    Categoria.MEDIA_TYPE: 415,
    Categoria.INTERNO: 500,
}

PROBLEM_TITLE: Final[dict[Categoria, str]] = {
    Categoria.INVALIDO: "Requisição inválida",
    Categoria.NAO_ENCONTRADO: "Não encontrado",
    Categoria.CONFLITO: "Chave ou identificador já usado com outro conteúdo",
    Categoria.PRECONDICAO: "O estado atual não permite a operação",
    Categoria.SOBRECARGA: "Sobrecarga, tente mais tarde",
    Categoria.INDISPONIVEL: "Dependência indisponível",
    Categoria.PRAZO: "Prazo esgotado",
    Categoria.PROIBIDO: "Chamada não permitida",
    Categoria.HOST: "O host não é o deste serviço",
    Categoria.METODO: "Método não permitido",
    Categoria.SIZE: "Corpo grande demais",
    Categoria.MEDIA_TYPE: "Tipo de mídia não aceito",
    Categoria.INTERNO: "Erro interno",
}


# What a caller is told when nothing of its call was begun.
ENCERRANDO: Final = "o serviço está encerrando"
REFUSED_WORDS: Final = "a conexão foi recusada"


class Violacao(msgspec.Struct, frozen=True):
    """One field of a request that breaks a rule: `campo` is its path, `detalhe` says the rule."""

    campo: str
    detalhe: str


class ErroServico(Exception):  # noqa: N818 - the domain speaks Portuguese
    """A failure with a category; the only exception that crosses a service's boundary.

    `repetir_apos_s` (seconds) is set when the caller should wait before it tries again.
    """

    def __init__(
        self,
        categoria: Categoria,
        detalhe: str,
        *,
        violacoes: tuple[Violacao, ...] = (),
        repetir_apos_s: float | None = None,
    ) -> None:
        super().__init__(detalhe)
        self.categoria = categoria
        self.detalhe = detalhe
        self.violacoes = violacoes
        self.repetir_apos_s = repetir_apos_s
        # False where it is certain that the call never left this process.
        self.enviada = True

    def nunca_enviada(self) -> ErroServico:
        """The same failure, of a call that never left this process."""
        self.enviada = False
        return self

    def __copy__(self) -> ErroServico:
        """The same failure for one more caller, with a traceback of its own.

        An exception that many raise grows a frame with each of them.
        """
        outra = ErroServico(
            self.categoria,
            self.detalhe,
            violacoes=self.violacoes,
            repetir_apos_s=self.repetir_apos_s,
        )
        outra.enviada = self.enviada
        return outra


def invalido(campo: str, detalhe: str) -> ErroServico:
    """A request whose field `campo` breaks a rule: 400 or INVALID_ARGUMENT."""
    return ErroServico(
        Categoria.INVALIDO, f"{campo}: {detalhe}", violacoes=(Violacao(campo, detalhe),)
    )


def nao_encontrado(detalhe: str) -> ErroServico:
    """An id in a path that names nothing: 404 or NOT_FOUND."""
    return ErroServico(Categoria.NAO_ENCONTRADO, detalhe)


def conflito(detalhe: str) -> ErroServico:
    """A key or id already used with another body: 409 or ALREADY_EXISTS."""
    return ErroServico(Categoria.CONFLITO, detalhe)


def precondicao(detalhe: str) -> ErroServico:
    """The stored state forbids the operation: 409 or FAILED_PRECONDITION."""
    return ErroServico(Categoria.PRECONDICAO, detalhe)


def indisponivel(detalhe: str) -> ErroServico:
    """A dependency is down or its answer was lost: 503 or UNAVAILABLE."""
    return ErroServico(Categoria.INDISPONIVEL, detalhe, repetir_apos_s=1.0)


def sem_recursos() -> ErroServico:
    """The system has no thread left for a piece of work, of which nothing was begun: 503."""
    return indisponivel("o sistema não tem recursos para começar este trabalho").nunca_enviada()


def encerrando() -> ErroServico:
    """Refused before any effect because the service is stopping: 503 or UNAVAILABLE."""
    return indisponivel(ENCERRANDO)


def conexao_recusada() -> ErroServico:
    """Nobody listens where the service should be, so nothing was sent: 503 or UNAVAILABLE."""
    return indisponivel(REFUSED_WORDS).nunca_enviada()


def sobrecarga(detalhe: str, repetir_apos_s: float) -> ErroServico:
    """Refused before any effect because there is too much to do: 503 or RESOURCE_EXHAUSTED."""
    return ErroServico(Categoria.SOBRECARGA, detalhe, repetir_apos_s=repetir_apos_s)


def prazo_esgotado(detalhe: str) -> ErroServico:
    """Too late to start, or to finish: 504 or DEADLINE_EXCEEDED."""
    return ErroServico(Categoria.PRAZO, detalhe)


def proibido(detalhe: str) -> ErroServico:
    """Refused before any effect: not for this caller. 403 or PERMISSION_DENIED."""
    return ErroServico(Categoria.PROIBIDO, detalhe)


def host_alheio() -> ErroServico:
    """Refused before any effect: asked under a name that is not the service's. 421."""
    return ErroServico(
        Categoria.HOST, "este serviço não atende por este host; --allow-host o faz atender por mais"
    )
