"""Spans as OpenTelemetry has them, handed to its own batch processor and OTLP exporter.

The standard's variables say where to (`OTEL_EXPORTER_OTLP_ENDPOINT` and its kin); without an
endpoint nothing is imported, made or sent. Names and attributes follow the semantic conventions
(https://opentelemetry.io/docs/specs/semconv/).
"""

from __future__ import annotations

import logging
import os
import threading
import time
from functools import cache
from typing import Any, Final

from common.arms import ARMS
from common.contratos import OPERACOES, Operacao
from common.erros import GRPC_CODE, STATUS_HTTP, Categoria
from common.telemetry.retention import Kept
from common.telemetry.spans import Span, spans

# Where the standard says that traces go; the second is for traces alone.
ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
DISABLED: Final = "OTEL_SDK_DISABLED"
# Spans that wait to be sent; an outage of a moment under full load has some ten thousand.
QUEUE_MAX: Final = 32_768
BATCH_MAX: Final = 512
# Milliseconds between batches that are not full.
INTERVAL_MS: Final = 500
# Seconds that a stop waits for the last batch.
END_MAX_S: Final = 1.0

_LOG = logging.getLogger(__name__)

_BY_NAME: Final = {operacao.nome: operacao for operacao in OPERACOES}


def wanted() -> bool:
    """Whether the environment says where traces go."""
    if os.environ.get(DISABLED, "").strip().lower() == "true":
        return False
    return any(os.environ.get(name, "").strip() for name in ENDPOINTS)


class _Heard:
    """An exporter whose failures are said once, and that traces come through again."""

    def __init__(self, exporter: Any) -> None:
        self._exporter = exporter
        self._failed = False

    def export(self, spans: Any) -> Any:
        """Send a batch."""
        from opentelemetry.sdk.trace.export import SpanExportResult

        try:
            result = self._exporter.export(spans)
        except Exception as error:
            # Its words name the address and the reason; the terminal needs them once.
            _LOG.info("export: %s", error)
            result = SpanExportResult.FAILURE
        failed = result is not SpanExportResult.SUCCESS
        if failed != self._failed:
            self._failed = failed
            if failed:
                _LOG.warning("traces are lost: no collector takes them where %s says", ENDPOINTS[0])
            else:
                _LOG.warning("a collector takes traces again")
        return result

    def shutdown(self) -> None:
        """End; a batch that is being sent is given up."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """There is nothing here that waits."""
        return bool(self._exporter.force_flush(timeout_millis))


class Exporter:
    """Sends spans of all services; made in the process of the edge, once."""

    def __init__(self, mode: str, exporter: Any = None) -> None:
        """`mode` is the arm. Raises ImportError without the packages; `exporter` is for tests."""
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        if exporter is None:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

            exporter = OTLPSpanExporter()
            # It complains of each attempt; we say once that traces are lost.
            logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self._grpc = ARMS[mode].protocol == "grpc"
        self._mode = mode
        heard: Any = _Heard(exporter)
        self._exporter = heard
        self._processor: Any = BatchSpanProcessor(
            heard,
            max_queue_size=QUEUE_MAX,
            max_export_batch_size=BATCH_MAX,
            schedule_delay_millis=INTERVAL_MS,
        )

    def send(self, kept: Kept) -> None:
        """Hand the spans of an order over; they are sent from a thread of the processor's."""
        # Milliseconds of the monotonic clock to nanoseconds since 1970.
        origin_ns = time.time_ns() - time.monotonic_ns()
        for span in spans(kept.hops, kept.operation, kept.context):
            self._processor.on_end(self._readable(span, kept, origin_ns))

    def close(self) -> None:
        """Send what waits, and end; a collector that does not answer is not waited for."""
        ending = threading.Thread(target=self._processor.shutdown, daemon=True)
        ending.start()
        ending.join(END_MAX_S)
        if ending.is_alive():
            # Ends the pause between its attempts; the thread goes with the process.
            self._exporter.shutdown()
            ending.join(END_MAX_S / 4)

    def _readable(self, span: Span, kept: Kept, origin_ns: int) -> Any:
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

        context = kept.context
        state = _state(context.state)

        def named(span_id: str, *, remote: bool) -> SpanContext:
            flags = TraceFlags(TraceFlags.SAMPLED)
            return SpanContext(int(context.trace_id, 16), int(span_id, 16), remote, flags, state)

        server = span.kind == "server"
        return ReadableSpan(
            name=self._name(span),
            context=named(span.span_id, remote=False),
            parent=named(span.parent, remote=server) if span.parent else None,
            resource=_resource(span.service, self._mode),
            attributes=self._attributes(span, kept),
            kind=SpanKind.SERVER if server else SpanKind.CLIENT,
            status=Status(StatusCode.ERROR, span.error)
            if _failed(span)
            else Status(StatusCode.UNSET),
            start_time=origin_ns + round(span.start_ms * 1e6),
            end_time=origin_ns + round(span.end_ms * 1e6),
            instrumentation_scope=_scope(),
        )

    def _name(self, span: Span) -> str:
        if not span.operation:
            return span.name
        operacao = _BY_NAME[span.operation]
        if self._grpc:
            return _grpc_method(operacao)
        return f"{operacao.metodo_http} {operacao.caminho}"

    def _attributes(self, span: Span, kept: Kept) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if span.database:
            found |= {"db.system.name": "sqlite", "db.namespace": span.database}
        elif not span.operation:
            found["service.peer.name"] = "gateway"
        else:
            operacao = _BY_NAME[span.operation]
            found |= self._called(operacao) | self._answered(span, operacao, kept)
            if span.kind == "client":
                found["service.peer.name"] = operacao.servico
        if span.error:
            found["error.type"] = span.error
        if kept.order is not None:
            found["checkout.order.id"] = kept.order
        if span.missing:
            found["checkout.hop.missing"] = True
        if span.span_id == kept.context.span_id:
            found["checkout.trace.kept"] = kept.why
            if kept.left:
                found["error.type"] = "cancelled"
        return found

    def _called(self, operacao: Operacao) -> dict[str, Any]:
        if self._grpc:
            return {"rpc.system.name": "grpc", "rpc.method": _grpc_method(operacao)}
        return {"http.request.method": operacao.metodo_http, "http.route": operacao.caminho}

    def _answered(self, span: Span, operacao: Operacao, kept: Kept) -> dict[str, Any]:
        """The status of the answer, where there was one."""
        if span.unanswered or (kept.left and span.span_id == kept.context.span_id):
            return {}
        categoria = Categoria(span.error) if span.error else None
        if self._grpc:
            return {"rpc.response.status_code": GRPC_CODE[categoria] if categoria else "OK"}
        if categoria is not None:
            return {"http.response.status_code": STATUS_HTTP[categoria]}
        if operacao.classe == "passo":
            return {"http.response.status_code": 200}
        done = 201 if operacao.classe == "pedido" else 200
        return {"http.response.status_code": 202 if kept.pending else done}


def _failed(span: Span) -> bool:
    """Whether the span is one of failure: at a server what its caller did wrong is none."""
    if not span.error:
        return False
    return span.kind == "client" or STATUS_HTTP[Categoria(span.error)] >= 500


def _grpc_method(operacao: Operacao) -> str:
    return f"ecommerce.v1.{operacao.servico.capitalize()}/{operacao.metodo_grpc}"


def _state(text: str) -> Any:
    from opentelemetry.trace import TraceState

    return TraceState.from_header([text]) if text else TraceState()


@cache
def _resource(service: str, mode: str) -> Any:
    from opentelemetry.sdk.resources import Resource

    return Resource.create(
        {"service.name": service, "service.namespace": "checkout", "checkout.arm": mode}
    )


@cache
def _scope() -> Any:
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    return InstrumentationScope("checkout.timing_record")
