"""Recordings of several processes become one, exactly: counts add up, histograms add up."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from loadgen.results.histograms import added
from loadgen.results.recorder import Counts, Recording


def merge(recordings: Sequence[Recording]) -> Recording:
    """One recording that holds what all of these hold. They must share `start_ns`."""
    first = recordings[0]
    merged = Recording(
        start_ns=first.start_ns,
        # From here on some callers had nothing left to send.
        last_send_ns=min(recording.last_send_ns for recording in recordings),
        sending_ended_ns=max(recording.sending_ended_ns for recording in recordings),
        end_ns=max(recording.end_ns for recording in recordings),
        outcomes=_added([recording.outcomes for recording in recordings]),
        warmup=_added([recording.warmup for recording in recordings]),
        in_time=sum(recording.in_time for recording in recordings),
        latency=added(recording.latency for recording in recordings),
        service=added(recording.service for recording in recordings),
        lag=added(recording.lag for recording in recordings),
        late=added(recording.late for recording in recordings),
        sent=_added_series([recording.sent for recording in recordings]),
        completed=_added_series([recording.completed for recording in recordings]),
        failed=_added_series([recording.failed for recording in recordings]),
        overdue=_added_series([recording.overdue for recording in recordings]),
        offered=_added_series([recording.offered for recording in recordings]),
        unsent=_added_series([recording.unsent for recording in recordings]),
        unsent_measured=sum(recording.unsent_measured for recording in recordings),
        seconds=[
            added(second)
            for second in zip_longest(
                *(recording.seconds for recording in recordings), fillvalue=""
            )
        ],
        clock_step_s=max((recording.clock_step_s for recording in recordings), key=abs),
        sampled=sum(recording.sampled for recording in recordings),
        interrupted=any(recording.interrupted for recording in recordings),
    )
    for recording in recordings:
        merged.examples |= recording.examples
        merged.cpu_s += recording.cpu_s
        merged.busiest += recording.busiest
        merged.samples += recording.samples
        merged.rss_max_bytes += recording.rss_max_bytes
        merged.problems += [text for text in recording.problems if text not in merged.problems]
        for name, values in recording.hops.items():
            sums = merged.hops.setdefault(name, {})
            for key, value in values.items():
                sums[key] = sums.get(key, 0.0) + value
    return merged


def _added(counts: Sequence[Counts]) -> Counts:
    total: Counts = {}
    for one in counts:
        for kind, labels in one.items():
            into = total.setdefault(kind, {})
            for label, number in labels.items():
                into[label] = into.get(label, 0) + number
    return total


def _added_series(series: Sequence[list[int]]) -> list[int]:
    return [sum(cells) for cells in zip_longest(*series, fillvalue=0)]
