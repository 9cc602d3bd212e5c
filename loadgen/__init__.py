"""Who buys, at what rhythm, what was recorded and what it means.

The modules follow an order through the generator: `targets` (who buys what), `callers` (when),
`scenario` (one checkout), `recorder` and `history` (what happened), `result` (what it means),
`table` (what the reader sees). `crew` runs `worker` processes; `floor` compares with bare chains.
"""
