"""What the rounds have shown: a table for people and one line of JSON for programs."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from statistics import median

from benchmarks.runs import Measurement
from tests.servers.jars import KAFKA_VERSION

Rounds = Mapping[str, Sequence[Measurement]]
"""The measurements of each case, round by round."""
PACKAGES = ("faust-streaming", "aiokafka", "sqlalchemy", "asyncpg", "faststream")


def machine(postgresql: str) -> str:
    """Return what the figures depend on, in two lines."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    packages = ", ".join(f"{name} {found}" for name in PACKAGES if (found := _version(name)))
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()},"
        f" load {os.getloadavg()[0]:.1f} before\n"
        f"Python {platform.python_version()}, {packages},"
        f" PostgreSQL {postgresql}, Apache Kafka {KAFKA_VERSION}"
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def table(rounds: Rounds) -> str:
    """Return one line for each case: medians, and the rates' least and most."""
    lines = [f"{'case':<20}{'events/s':>10}{'min to max':>20}{'ratio':>8}{'RSS MB':>8}"]
    for name, case in summary(rounds).items():
        rates = [run.events_per_s for run in rounds[name]]
        spread = f"{min(rates):,.0f} to {max(rates):,.0f}"
        rate, ratio, rss = case["events_per_s"], case["ratio"], case["rss_mb"]
        lines.append(f"{name:<20}{rate:>10,.0f}{spread:>20}{ratio:>8.2f}{rss:>8.0f}")
    if {"checkpoint", "copy"} <= rounds.keys():
        lines.append(f"checkpoint / copy: {_ratio(rounds, 'checkpoint', 'copy'):.2f}")
    return "\n".join(lines)


def line(rounds: Rounds, machine: str) -> str:
    """Return the line of JSON."""
    return json.dumps({"cases": summary(rounds), "machine": machine})


def summary(rounds: Rounds) -> dict[str, dict[str, float]]:
    """Return the medians of each case; ratios are to the first case of the same round."""
    first = next(iter(rounds))
    return {
        name: {
            "events_per_s": round(median(run.events_per_s for run in runs), 1),
            "ratio": round(_ratio(rounds, name, first), 3),
            "rss_mb": round(median(run.rss_mb for run in runs), 1),
        }
        for name, runs in rounds.items()
    }


def _ratio(rounds: Rounds, name: str, other: str) -> float:
    pairs = zip(rounds[name], rounds[other], strict=True)
    return median(run.events_per_s / beside.events_per_s for run, beside in pairs)
