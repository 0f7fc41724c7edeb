"""The machine is out of memory, or its clock jumps: no event is lost, and none waits for it."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from signal import SIGKILL
from uuid import uuid4

import orjson
import pytest
from sqlalchemy import func, select

from app.checkpoint.models import FailureRow
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

CGROUPS = Path("/sys/fs/cgroup/memory")
LIMIT_BYTES = 256 * 1024 * 1024
LIBRARIES = "lib/*/faketime/libfaketimeMT.so.1"
JUMPS = ("+1h", "-1h", "+0")


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
def clock() -> Path:
    """Return the library that has a process see another time than there is."""
    libraries = list(Path("/usr").glob(LIBRARIES))
    if not libraries:
        pytest.skip("libfaketime is not installed (Debian: faketime)")
    return libraries[0]


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


@pytest.mark.full
@pytest.mark.timeout(300)
def test_a_clock_that_jumps_harms_nothing(stage: Stage, clock: Path, tmp_path: Path) -> None:
    """Backoffs and timeouts take as long as they should: what measures them knows no date."""
    mode = "fallible_transactional"
    now = tmp_path / "clock"
    now.write_text("+0")
    produce(stage, mode, seconds=0.05)
    worker = start(
        stage,
        LD_PRELOAD=str(clock),
        FAKETIME_TIMESTAMP_FILE=str(now),
        FAKETIME_CACHE_DURATION="1",
        FAKETIME_DONT_FAKE_MONOTONIC="1",
        SESSION_TIMEOUT="6",
    )
    for jump in JUMPS:
        wait_for_progress(stage)
        now.write_text(jump)
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
        assert before + 60 < len(stage.settled()) < len(stage.ledger.entries)

    eventually(more, timeout=RECOVERY_LIMIT)
