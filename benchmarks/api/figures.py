"""What the calls have cost: tables for people, and figures for programs."""

from collections.abc import Mapping, Sequence

from benchmarks.api.calls import Call
from benchmarks.api.latencies import MACHINE, Latencies

BAR = 10.0
"""Milliseconds beyond the floor that the p99 of no call may reach."""

Measured = Mapping[str, Latencies]


def table(measured: Measured) -> str:
    """Return one line for each call, in milliseconds; what reaches the bar is marked."""
    lines = [f"{'call':<72}{'p50':>8}{'p99':>8}{'floor':>8}{'beyond':>8}"]
    calls = {name: of for name, of in measured.items() if name != MACHINE}
    reached = [name for name, of in calls.items() if of.beyond >= BAR]
    for name, of in measured.items():
        mark = "  !" if name in reached else ""
        figures = "".join(f"{figure:>8.2f}" for figure in (of.p50, of.p99, of.floor_p99, of.beyond))
        lines.append(f"{name:<72}{figures}{mark}")
    return "\n".join([*lines, f"{len(reached)} of {len(calls)} reach {BAR:.0f} ms"])


def depths(calls: Sequence[Call], measured: Measured) -> str:
    """Return one line for each list: the median of a page by how far down it is."""
    lists = dict.fromkeys(call.list for call in calls if call.depth)
    lines: list[str] = []
    for name in lists:
        pages = {call.depth: measured[call.name] for call in calls if call.list == name}
        pages.pop("", None)
        head = "".join(f"{depth:>8}" for depth in pages)
        lines = lines or [f"{'p50 of a page at':<32}{head}"]
        lines.append(f"{name:<32}" + "".join(f"{of.p50:>8.2f}" for of in pages.values()))
    return "\n".join(lines)


def summary(measured: Measured) -> dict[str, dict[str, float]]:
    """Return the figures of each call."""
    return {
        name: {
            "p50_ms": round(of.p50, 3),
            "p99_ms": round(of.p99, 3),
            "floor_p99_ms": round(of.floor_p99, 3),
            "beyond_ms": round(of.beyond, 3),
        }
        for name, of in measured.items()
    }
