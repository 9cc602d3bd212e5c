"""The seconds of a run as CSV, for a spreadsheet: a row a second, warm-up included."""

from __future__ import annotations

import csv
import io

import msgspec

from loadgen.results.result import Result
from loadgen.results.timeline import Second


def to_csv(result: Result) -> bytes:
    """A header and a row a second, with the fields of `Second`; a cell is empty for nothing ended."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(Second.__struct_fields__)
    rows.writerows(msgspec.structs.astuple(second) for second in result.timeline)
    return text.getvalue().encode()
