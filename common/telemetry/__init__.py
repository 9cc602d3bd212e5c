"""Observability: traces, metrics and logs, all read from what the services measure anyway.

`trace_context` is what travels (W3C), `spans` makes an order's spans from its timing record,
`keeping` decides at an order's end whether they are kept, `exporting` hands them to OpenTelemetry,
`metrics` tells Prometheus, `logs` writes what happened to whom.
"""
