"""The OpenAPI 3.1 description of a service, made from the table of operations.

The schemas are those of the messages' own types, so what is described is what is checked.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from common.contratos import CHAVE_IDEMPOTENCIA_MAX, Mensagem, Operacao, operacoes_de
from common.erros import PROBLEM_TITLE, STATUS_HTTP, Categoria
from common.serving.deadline import INSTANTE, TIMEOUT_MAX_MS
from wire.rest.answers import PROBLEM_TYPE, Problema
from wire.rest.codec import CODECS

VERSAO: Final = "1.0.0"
_REF: Final = "#/components/schemas/{name}"

_CHAVE: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Nomeia este checkout: a mesma chave com o mesmo corpo tem a mesma resposta.",
    "schema": {
        "type": "string",
        "minLength": 1,
        "maxLength": CHAVE_IDEMPOTENCIA_MAX,
        "pattern": "^[\\x21-\\x7e]([\\x20-\\x7e]*[\\x21-\\x7e])?$",
    },
}
_LIMIT: Final = {
    "name": "X-Timeout-Ms",
    "in": "header",
    "required": False,
    "description": "Milissegundos que o cliente espera pela resposta.",
    "schema": {"type": "integer", "minimum": 1, "maximum": TIMEOUT_MAX_MS},
}
_PRAZO: Final = {
    "name": "X-Deadline-At",
    "in": "header",
    "required": False,
    "description": (
        "Instante até o qual responder: o id de um relógio monotônico e os seus nanossegundos. "
        "Só vale para quem lê o mesmo relógio."
    ),
    "schema": {"type": "string", "pattern": f"^{INSTANTE}$"},
}
_TEMPOS: Final = {
    "description": "Onde o tempo foi gasto, salto a salto.",
    "required": True,
    "schema": {"type": "string"},
}
# What any request may be answered, whatever it asks for: see `common/callers.py`.
_DE_FORA: Final = [Categoria.PROIBIDO, Categoria.HOST]
_ESPERA: Final = {
    "Retry-After": {
        "description": "Segundos a esperar antes de repetir.",
        "schema": {"type": "integer", "minimum": 1},
    }
}


def documento(servico: str, *, metricas: bool = False) -> bytes:
    """The description of one service as JSON; `metricas` says whether its port shows them too."""
    operacoes = operacoes_de(servico)
    tipos: list[type[Any]] = [Problema]
    for operacao in operacoes:
        tipos += [operacao.requisicao, operacao.resposta]
    esquemas = msgspec.json.schema_components(tipos, ref_template=_REF)[1]
    caminhos: dict[str, dict[str, Any]] = {}
    for operacao in operacoes:
        item = caminhos.setdefault(operacao.caminho, {})
        item[operacao.metodo_http.lower()] = _operacao(operacao, esquemas)
    for caminho, resumo in (("/healthz", "O processo vive"), ("/readyz", "O serviço atende")):
        caminhos[caminho] = {"get": _saude(caminho, resumo)}
    caminhos["/openapi.json"] = {"get": _descricao()}
    if metricas:
        caminhos["/metrics"] = {"get": _metricas()}
    usados = _usados(caminhos, esquemas)
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": f"ecommerce: {servico}",
                "version": VERSAO,
                "description": "Um serviço da cadeia de checkout. Valores em centavos inteiros.",
            },
            "paths": caminhos,
            "components": {"schemas": {nome: esquemas[nome] for nome in sorted(usados)}},
        }
    )


def _operacao(operacao: Operacao, esquemas: dict[str, Any]) -> dict[str, Any]:
    codec = CODECS[operacao.nome]
    propriedades = esquemas[operacao.requisicao.__name__].get("properties", {})
    parametros: list[dict[str, Any]] = [
        {"name": nome, "in": "path", "required": True, "schema": propriedades[nome]}
        for nome in codec.no_caminho
    ]
    parametros += [
        {"name": nome, "in": "query", "required": False, "schema": propriedades[nome]}
        for nome in codec.na_consulta
    ]
    # Who calls Pedidos is a client, and shares no clock with it.
    parametros += [_LIMIT] if operacao.servico == "pedidos" else [_LIMIT, _PRAZO]
    if operacao.classe == "pedido":
        parametros.append(_CHAVE)
    descrita: dict[str, Any] = {
        "operationId": operacao.nome,
        "summary": operacao.resumo,
        "parameters": parametros,
        "responses": _respostas(operacao),
    }
    if codec.no_corpo:
        descrita["requestBody"] = {
            "required": codec.corpo_obrigatorio,
            "content": {"application/json": {"schema": _esquema_corpo(operacao, propriedades)}},
        }
    return descrita


def _esquema_corpo(operacao: Operacao, propriedades: dict[str, Any]) -> dict[str, Any]:
    codec = CODECS[operacao.nome]
    if not codec.no_caminho:
        return _referencia(operacao.requisicao)
    return {
        "type": "object",
        "properties": {nome: propriedades[nome] for nome in codec.no_corpo},
        "additionalProperties": False,
    }


def _respostas(operacao: Operacao) -> dict[str, Any]:
    esquema = _referencia(operacao.resposta)
    if operacao.lista is not None:
        (campo,) = (
            campo
            for campo in msgspec.structs.fields(operacao.resposta)
            if campo.name == operacao.lista
        )
        esquema = {"type": "array", "items": _referencia(campo.type.__args__[0])}
    conteudo = {"application/json": {"schema": esquema}}
    # Clients ask Pedidos; between services the record has a form of its own.
    nome = "Server-Timing" if operacao.servico == "pedidos" else "Timing-Record"
    cabecalhos: dict[str, Any] = {nome: _TEMPOS}
    if operacao.metodo_http == "POST" and operacao.servico == "pedidos":
        cabecalhos["Location"] = {"required": True, "schema": {"type": "string"}}
    if operacao.classe == "pedido":
        cabecalhos["Idempotency-Key"] = {"required": True, "schema": _CHAVE["schema"]}
    respostas: dict[str, Any] = {}
    for status, descricao in _sucessos(operacao).items():
        respostas[str(status)] = {
            "description": descricao,
            "headers": cabecalhos,
            "content": conteudo,
        }
    return respostas | _problemas(_falhas(operacao))


def _sucessos(operacao: Operacao) -> dict[int, str]:
    if operacao.classe == "pedido":
        return {201: "O pedido chegou ao fim", 202: "O pedido ainda está em andamento"}
    if operacao.servico == "pedidos" and operacao.classe == "cancelamento":
        return {200: "O pedido está cancelado", 202: "O pedido está cancelando"}
    return {200: "A resposta"}


def _falhas(operacao: Operacao) -> list[Categoria]:
    falhas = [Categoria.INVALIDO, *_DE_FORA]
    falhas += [Categoria.INDISPONIVEL, Categoria.PRAZO, Categoria.INTERNO]
    codec = CODECS[operacao.nome]
    if codec.no_caminho:
        falhas.append(Categoria.NAO_ENCONTRADO)
    if codec.no_corpo:
        falhas += [Categoria.SIZE, Categoria.MEDIA_TYPE]
    if operacao.classe != "consulta":
        falhas.append(Categoria.CONFLITO)
    return falhas


def _problemas(falhas: list[Categoria]) -> dict[str, Any]:
    problemas: dict[str, Any] = {}
    for categoria in falhas:
        problema: dict[str, Any] = {
            "description": PROBLEM_TITLE[categoria],
            "content": {PROBLEM_TYPE: {"schema": _referencia(Problema)}},
        }
        if categoria is Categoria.INDISPONIVEL:
            problema["headers"] = _ESPERA
        problemas[str(STATUS_HTTP[categoria])] = problema
    return problemas


def _saude(caminho: str, resumo: str) -> dict[str, Any]:
    corpo = {"type": "object", "properties": {"status": {"type": "string"}}}
    respostas: dict[str, Any] = {
        "200": {
            "description": resumo,
            "content": {"application/json": {"schema": corpo | {"required": ["status"]}}},
        }
    }
    respostas |= _problemas(_DE_FORA)
    if caminho == "/readyz":
        respostas |= _problemas([Categoria.INDISPONIVEL])
    return {"operationId": caminho.strip("/"), "summary": resumo, "responses": respostas}


def _metricas() -> dict[str, Any]:
    return {
        "operationId": "metrics",
        "summary": "As métricas, como o Prometheus as lê",
        "responses": {
            "200": {
                "description": "Formato de texto do Prometheus",
                "content": {"text/plain": {"schema": {"type": "string"}}},
            },
            **_problemas(_DE_FORA),
        },
    }


def _descricao() -> dict[str, Any]:
    return {
        "operationId": "openapi",
        "summary": "Esta descrição",
        "responses": {
            "200": {
                "description": "OpenAPI 3.1",
                "content": {"application/json": {"schema": {"type": "object"}}},
            },
            **_problemas(_DE_FORA),
        },
    }


def _referencia(tipo: type[Mensagem | Problema]) -> dict[str, Any]:
    return {"$ref": _REF.format(name=tipo.__name__)}


def _usados(raiz: Any, esquemas: dict[str, Any]) -> set[str]:
    """The schemas that are referred to, directly or through others."""
    usados: set[str] = set()
    pendentes = [raiz]
    while pendentes:
        valor = pendentes.pop()
        if isinstance(valor, dict):
            nome = str(valor.get("$ref", "")).rpartition("/")[2]
            if nome and nome not in usados:
                usados.add(nome)
                pendentes.append(esquemas[nome])
            pendentes += valor.values()
        elif isinstance(valor, list | tuple):
            pendentes += valor
    return usados
