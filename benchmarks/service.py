"""The Faust app of every case that has one: the same settings for all."""

from pathlib import Path

import faust

from benchmarks.task import Task


def make_app(task: Task) -> faust.App:
    """Return an app with the settings of the service itself: the defaults, but no tables."""
    return faust.App(
        task.group,
        broker=task.broker_url,
        store="memory://",
        topic_disable_leader=True,
        datadir=Path(task.report).with_suffix(".data"),
    )
