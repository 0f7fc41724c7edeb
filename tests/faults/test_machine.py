"""The machine is out of memory, or its clock jumps: no event is lost, and none waits for it."""

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from signal import SIGKILL
from struct import Struct
from uuid import uuid4

import orjson
import pytest
from sqlalchemy import func, select

from app.checkpoint.models import FailureRow
from tests.availability import missing
from tests.end_to_end.stage import Stage
from tests.faults.fallible import (
    RECOVERY_LIMIT,
    check,
    produce,
    repeated,
    start,
    uncommitted,
)
from tests.faults.report import note
from tests.polling import eventually
from tests.servers.process import run

CGROUPS = Path("/sys/fs/cgroup/memory")
LIMIT_BYTES = 256 * 1024 * 1024
HOUR = 3600
JUMPS = (HOUR, -HOUR) * 6
"""Seconds by which the clock is wrong."""
SECONDS = Struct("q")


@pytest.fixture
def cell() -> Iterator[Path]:
    """Return a control group whose processes are killed for taking too much memory."""
    folder = CGROUPS / f"faults-{uuid4().hex}"
    try:
        folder.mkdir()
        (folder / "memory.limit_in_bytes").write_text(str(LIMIT_BYTES))
        (folder / "memory.swappiness").write_text("0")
    except OSError as error:
        pytest.skip(f"no control group for memory can be made here: {error}")
    yield folder
    folder.rmdir()


@pytest.fixture
def clock(tmp_path: Path) -> Path:
    """Return the library that has a process see another time than there is."""
    compiler = shutil.which("cc")
    if compiler is None:
        missing("a C compiler is not installed (Debian: gcc libc6-dev)")
    library = tmp_path / "clock.so"
    source = Path(__file__).with_name("clock.c")
    run([compiler, "-shared", "-fPIC", f"-o{library}", str(source), "-ldl"], folder=tmp_path)
    return library


def test_a_worker_that_is_out_of_memory_loses_nothing(stage: Stage, cell: Path) -> None:
    """The kernel kills it in the middle of a handler; another one goes on."""
    for agent in ("awkward", "awkward_transactional"):
        stage.kafka.create_topic(stage.topic(agent), 1)
    worker = start(stage)
    worker.wait_until_ready()
    (cell / "cgroup.procs").write_text(str(worker.pid))
    does = ["nothing", "gobble", "nothing"]
    values = [orjson.dumps({"id": number, "does": what}) for number, what in enumerate(does)]
    stage.ledger.produce(stage.topic("awkward"), values)

    def dead() -> None:
        assert not worker.running

    eventually(dead, timeout=RECOVERY_LIMIT)
    assert worker.end() == -SIGKILL
    assert uncommitted(stage)
    stage.mended.set()
    start(stage)
    stage.wait_until_settled()
    places = [message.place for message in stage.ledger.entries]
    eventually(lambda: stage.check_committed(places), timeout=RECOVERY_LIMIT)
    note("W12", injected=1, hit=1, events=len(places), duplicates=repeated(stage))


def test_a_clock_that_jumps_harms_nothing(stage: Stage, clock: Path, tmp_path: Path) -> None:
    """Backoffs and timeouts take as long as they should: what measures them knows no date."""
    mode = "fallible_transactional"
    offset = tmp_path / "offset"
    offset.write_bytes(SECONDS.pack(0))
    # All of them wait for a second attempt: each jump meets some that do.
    failures = {number: 2 if number == 0 else 1 for number in range(20)}
    produce(stage, mode, seconds=0.03, failures=failures)
    worker = start(
        stage,
        LD_PRELOAD=str(clock),
        CLOCK_OFFSET=str(offset),
        SESSION_TIMEOUT="6",
    )
    for jump in JUMPS:
        wait_for_progress(stage)
        # In its place: the worker has the file itself in memory.
        with offset.open("r+b") as file:
            file.write(SECONDS.pack(jump))
    check(stage, mode)
    assert worker.end() == 0
    times = select(func.max(FailureRow.last_failed_at) - func.min(FailureRow.last_failed_at))
    [[span]] = stage.fetch(times)
    assert span > timedelta(hours=0.9)
    assert repeated(stage) == 0
    note("W13", injected=len(JUMPS), hit=len(JUMPS), events=len(stage.ledger.entries))


def wait_for_progress(stage: Stage) -> None:
    """Return once some more events are settled, and others are not."""
    before = len(stage.settled())

    def more() -> None:
        assert before + 10 < len(stage.settled()) < len(stage.ledger.entries)

    eventually(more, timeout=RECOVERY_LIMIT)
