"""Observability: meters, traces and logs, all from one measurement of each call.

`meters` counts, `stats` and `exposition` show the meters. `timing` measures a sampled call from the
inside. `trace_context` travels with a call (W3C), `traces` begins an order's trace and `retention`
decides at its end whether it is kept, `spans` makes spans of the timing record, `exporter` hands
them to OpenTelemetry. `logs` writes lines, `order_log` collects those of one order.
"""
