"""The Faust app of every case that has one: the same settings for all."""

import gc
from pathlib import Path
from typing import Any

import faust
import mode.loop

from benchmarks.task import Task


def make_app(task: Task) -> faust.App:
    """Return an app with the settings of the service itself: the defaults, but no tables."""
    app = faust.App(
        task.group,
        broker=task.broker_url,
        store="memory://",
        topic_disable_leader=True,
        datadir=Path(task.report).with_suffix(".data"),
    )
    app.on_worker_init.connect(_prepare, weak=False)
    return app


def _prepare(*_: Any, **__: Any) -> None:
    """Do what `app/main.py` does for its worker, for the peers as well."""
    mode.loop.use("uvloop")
    gc.collect()
    gc.freeze()
