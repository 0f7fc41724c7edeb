"""What a soak has found, as JSON for programs and Markdown for people."""

import json
import math
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.faults.soak.stage import WORKERS, SoakStage
from tests.servers.jars import KAFKA_VERSION

ROOT = Path(__file__).parents[3]
PACKAGES = ("faust-streaming", "aiokafka", "sqlalchemy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Injected:
    """One fault that was put in."""

    fault: str
    seconds: float
    """How long it lasted."""
    in_flight: int
    """Events that handlers had begun and that had no outcome when it struck."""
    recovery: float | None
    """Seconds from its end until events were settled at 90 % of the rate before; None: never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the end has shown."""

    double_effects: int
    missing_effects: int
    unfinished: str = ""
    """Why the end was not reached."""


def facts(database: str) -> dict[str, Any]:
    """Return what the figures depend on."""
    commit = subprocess.run(
        ["git", "-C", ROOT, "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "commit": commit.stdout.strip() or "unknown",
        "versions": {name: version(name) for name in PACKAGES}
        | {
            "python": platform.python_version(),
            "Apache Kafka": KAFKA_VERSION,
            "database": database,
        },
        "machine": {
            "cores": os.cpu_count(),
            "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30),
            "system": f"{platform.system()} {platform.machine()}",
        },
    }


def summary(
    stage: SoakStage, injected: Sequence[Injected], verdict: Verdict, about: dict[str, Any]
) -> dict[str, Any]:
    """Return all that is reported."""
    oracle, slope = stage.oracle, stage.memory.slope()
    hits = [fault for fault in injected if fault.in_flight]
    return {
        **about,
        "workers": WORKERS,
        "faults_injected": len(injected),
        "faults_hit_in_flight": len(hits),
        "events_checked": len(stage.book.events),
        "samples_of_committed_offsets": oracle.samples,
        # Who is interrupted cannot know.
        "lost": None if verdict.unfinished else len(oracle.unsettled()),
        "committed_without_outcome": len(oracle.passed),
        "recorded_twice": len(oracle.doubled),
        "double_effects": verdict.double_effects,
        "missing_effects": verdict.missing_effects,
        "order_breaks": len(oracle.disordered),
        "duplicate_handler_runs": oracle.repeated_runs(),
        "handler_runs_per_event": round(oracle.runs.total() / max(1, len(oracle.runs)), 5),
        "recovery_p95_s": _p95([fault.recovery for fault in injected]),
        "workers_ended_by_themselves": stage.died_alone,
        "rss_most_mb": round(stage.memory.most(), 1),
        "rss_slope_mb_per_10_min": None if slope is None else round(slope[0], 2),
        "rss_slope_minutes": None if slope is None else round(slope[1], 1),
        "unfinished": verdict.unfinished,
        "faults": _by_fault(injected),
        "wrong": (oracle.passed + oracle.doubled + oracle.disordered)[:20]
        + sorted(map(str, oracle.unsettled()))[:20],
    }


def is_clean(report: dict[str, Any]) -> bool:
    """Return whether nothing was lost, doubled or disordered, and faults did hit."""
    bad = (
        *("lost", "committed_without_outcome", "recorded_twice", "double_effects"),
        *("missing_effects", "order_breaks"),
    )
    valid = (
        report["events_checked"] and report["faults_hit_in_flight"] and report["faults_injected"]
    )
    return bool(valid) and not report["unfinished"] and not any(report[name] for name in bad)


def write(report: dict[str, Any], folder: Path) -> None:
    """Write report.json and report.md."""
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    (folder / "report.md").write_text(markdown(report))


def markdown(report: dict[str, Any]) -> str:
    """Return the report as two tables."""
    lines = ["| | |", "|---|---|"]
    for name, value in report.items():
        if name in {"faults", "wrong"}:
            continue
        told = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        lines.append(f"| {name.replace('_', ' ')} | {told} |")
    lines += [
        "",
        "| fault | injected | hit in flight | p95 recovery, s | most, s |",
        "|---|---|---|---|---|",
    ]
    for name, row in report["faults"].items():
        cells = row["injected"], row["hit_in_flight"], row["recovery_p95_s"], row["recovery_most_s"]
        lines.append(f"| {name} | " + " | ".join(map(str, cells)) + " |")
    lines += ["", *(f"- {wrong}" for wrong in report["wrong"])]
    return "\n".join(lines).rstrip() + "\n"


def _by_fault(injected: Sequence[Injected]) -> dict[str, dict[str, Any]]:
    rows = {}
    for name in sorted({fault.fault for fault in injected}):
        those = [fault for fault in injected if fault.fault == name]
        times = [fault.recovery for fault in those]
        rows[name.replace("_", " ")] = {
            "injected": len(those),
            "hit_in_flight": sum(bool(fault.in_flight) for fault in those),
            "recovery_p95_s": _p95(times),
            "recovery_most_s": None if None in times else max(filter(None, times), default=0.0),
        }
    return rows


def _p95(times: Sequence[float | None]) -> float | None:
    """Return the 95th percentile, None where it is a fault that was never recovered from."""
    ranked = sorted(math.inf if time is None else time for time in times)
    found = ranked[math.ceil(0.95 * len(ranked)) - 1] if ranked else math.inf
    return None if math.isinf(found) else round(found, 2)
