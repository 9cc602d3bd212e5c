"""Who buys, at what rhythm, what was recorded and what it means.

The modules follow an order through the generator: `targets` (who buys what), `callers` or `schedule`
and `open_loop` (when), `scenario` (one checkout), `recorder` and `history` (what happened), `result`
(what it means), `table` (what the reader sees). `crew` runs `worker` processes; `floor` compares with
bare chains, `cost` with a bare client, and `pacing` an open loop with its schedule.
"""
