"""How a test speaks to a service from outside: raw gRPC or raw HTTP behind one face."""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import aiohttp
import grpc.aio
import msgspec
from google.rpc import error_details_pb2, status_pb2
from multidict import CIMultiDict

from common.contratos import OPERACOES
from common.erros import GRPC_CODE, STATUS_HTTP, Categoria
from common.serving.deadline import RELOGIO
from wire.grpc.codec import CODECS, caminho, protobuf_type
from wire.grpc.options import CANAL

OPERATIONS = {operacao.nome: operacao for operacao in OPERACOES}
# Seconds that a call may take when a test names no deadline: more than any healthy one needs.
PATIENCE_S = 30.0


class Reply(NamedTuple):
    """An answer, alike for every transport.

    `category` is None for success; `code` is the transport's own; `body` is the message as plain
    data, or the problem's sentence.
    """

    category: Categoria | None
    code: int | str
    headers: Mapping[str, str]
    body: Any
    fields: tuple[str, ...] = ()
    retry_after_s: float | None = None

    @property
    def key(self) -> str:
        """The idempotency key that came back."""
        return self.headers["idempotency-key"]


Headers = Mapping[str, str] | Sequence[tuple[str, str]]


class Edge(ABC):
    """Calls operations by name with plain data."""

    @abstractmethod
    async def call(
        self,
        operation: str,
        fields: Mapping[str, Any],
        *,
        key: str | None = None,
        timeout_s: float | None = None,
        headers: Headers = (),
    ) -> Reply:
        """Call an operation; `timeout_s` is the client's own deadline as its protocol says it.

        `headers` are what travels beside the message; as pairs, one may come twice.
        Cancelling this coroutine hangs up.
        """

    @abstractmethod
    async def close(self) -> None:
        """Hang up everything."""


class HttpEdge(Edge):
    """REST without the project's own client."""

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self._addresses = addresses
        # A connection a call: closing it is hanging up, and a restart leaves none stale.
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            timeout=aiohttp.ClientTimeout(total=PATIENCE_S),
        )

    def url(self, servico: str, path: str) -> str:
        """Where a path of a service is."""
        return f"http://{self._addresses[servico]}{path}"

    async def call(
        self,
        operation: str,
        fields: Mapping[str, Any],
        *,
        key: str | None = None,
        timeout_s: float | None = None,
        headers: Headers = (),
    ) -> Reply:
        """See Edge."""
        row = OPERATIONS[operation]
        rest = dict(fields)
        path = row.caminho
        for name in list(rest):
            if f"{{{name}}}" in path:
                path = path.replace(f"{{{name}}}", str(rest.pop(name)))
        sent = CIMultiDict(headers)
        if key is not None:
            sent["Idempotency-Key"] = key
        if timeout_s is not None:
            sent["X-Timeout-Ms"] = str(round(timeout_s * 1e3))
        extra = {"params": rest} if row.metodo_http == "GET" else {"json": rest} if rest else {}
        async with self.session.request(
            row.metodo_http, self.url(row.servico, path), headers=sent, **extra
        ) as response:
            data = await response.read()
        return self._reply(response, data)

    @staticmethod
    def _reply(response: aiohttp.ClientResponse, data: bytes) -> Reply:
        received = {name.lower(): value for name, value in response.headers.items()}
        body = json.loads(data)
        if response.status < 400:
            assert response.content_type == "application/json"
            return Reply(None, response.status, received, body)
        assert response.content_type == "application/problem+json"
        category = Categoria(body["categoria"])
        assert response.status == body["status"] == STATUS_HTTP[category]
        retry = received.get("retry-after")
        return Reply(
            category,
            response.status,
            received,
            body["detail"],
            tuple(error["campo"] for error in body.get("erros", ())),
            None if retry is None else float(retry),
        )

    async def close(self) -> None:
        """See Edge."""
        await self.session.close()


class GrpcEdge(Edge):
    """gRPC stubs without the project's own client."""

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self.addresses = addresses
        self._channels: dict[str, grpc.aio.Channel] = {}

    def channel(self, servico: str) -> grpc.aio.Channel:
        """A connection to a service."""
        if servico not in self._channels:
            address = self.addresses[servico]
            self._channels[servico] = grpc.aio.insecure_channel(address, options=CANAL)
        return self._channels[servico]

    async def call(
        self,
        operation: str,
        fields: Mapping[str, Any],
        *,
        key: str | None = None,
        timeout_s: float | None = None,
        headers: Headers = (),
    ) -> Reply:
        """See Edge."""
        row = OPERATIONS[operation]
        request = protobuf_type(row.requisicao)(**fields)
        metadata = [*CIMultiDict(headers).items()]
        if key is not None:
            metadata.append(("idempotency-key", key))
        rpc = self.channel(row.servico).unary_unary(caminho(row))(
            request.SerializeToString(),
            timeout=PATIENCE_S if timeout_s is None else timeout_s,
            metadata=metadata,
            wait_for_ready=True,
        )
        try:
            data = await rpc
            received = dict(await rpc.trailing_metadata() or ())
        except grpc.aio.AioRpcError as error:
            return self._failure(error)
        codec = CODECS[row.resposta]
        body = json.loads(msgspec.json.encode(codec.read(codec.parse(data))))
        # The contract's list travels bare in REST; the same face here.
        return Reply(None, "OK", received, body if row.lista is None else body[row.lista])

    @staticmethod
    def _failure(error: grpc.aio.AioRpcError) -> Reply:
        received = dict(error.trailing_metadata() or ())
        code = error.code().name
        raw = received.pop("grpc-status-details-bin", None)
        if raw is None:
            # The transport's own word: no service of ours has answered.
            category = next(c for c, name in GRPC_CODE.items() if name == code)
            return Reply(category, code, received, error.details())
        status = status_pb2.Status.FromString(raw)
        assert status.code == error.code().value[0]
        category, fields, retry = None, (), None
        for part in status.details:
            if part.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
                info = error_details_pb2.ErrorInfo.FromString(part.value)
                category = Categoria(info.reason.lower())
            elif part.Is(error_details_pb2.BadRequest.DESCRIPTOR):
                bad = error_details_pb2.BadRequest.FromString(part.value)
                fields = tuple(violation.field for violation in bad.field_violations)
            elif part.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
                info = error_details_pb2.RetryInfo.FromString(part.value)
                retry = info.retry_delay.ToMilliseconds() / 1e3
        assert category is not None
        assert code == GRPC_CODE[category]
        return Reply(category, code, received, status.message, fields, retry)

    async def close(self) -> None:
        """See Edge."""
        for channel in self._channels.values():
            await channel.close()


def deadline_header(seconds: float, clock: str = RELOGIO) -> dict[str, str]:
    """The instant that a hop above sends as its deadline, `seconds` from now, on its `clock`."""
    instant = time.monotonic_ns() + int(seconds * 1e9)
    return {"x-deadline-at": f"{clock}:{instant}"}
