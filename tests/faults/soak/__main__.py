"""Faults of all kinds for as long as you like: `uv run python -m tests.faults.soak --minutes 30`.

It runs against Apache Kafka and a database of its own. Ended early by Ctrl-C or a crash, it goes on
where it was when it is started with the same folder.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.faults.soak import report
from tests.faults.soak.faults import FAULTS
from tests.faults.soak.report import Injected, Verdict
from tests.faults.soak.stage import LOOK_SECONDS, SoakStage
from tests.servers import Kafka, MariaDB, PostgreSQL
from tests.servers.sql import DatabaseServer

DATABASES: dict[str, type[DatabaseServer]] = {"postgresql": PostgreSQL, "mariadb": MariaDB}
BETWEEN_SECONDS = (2.0, 5.0)
"""Without a fault between two of them, when it has recovered."""
RATE_SECONDS = 10.0
"""How long the rate before a fault is looked at."""
WINDOW_SECONDS = 2.0
"""The same after it."""
RECOVERED = 0.9
"""Of the rate before the fault."""
RECOVERY_LIMIT = 60.0
END_LIMIT = 180.0
"""How long the last events may take to be settled."""


@dataclass(kw_only=True)
class Progress:
    """What has happened so far, in a file that survives us."""

    path: Path
    seconds: float = 0.0
    injected: list[Injected] = field(default_factory=list)

    def load(self) -> None:
        """Take up what an earlier run has left."""
        if self.path.exists():
            told = json.loads(self.path.read_text())
            self.seconds = told["seconds"]
            self.injected = [Injected(**fault) for fault in told["injected"]]

    def save(self) -> None:
        """Write it down."""
        told = {
            "seconds": self.seconds,
            "injected": [asdict(fault) for fault in self.injected],
        }
        self.path.write_text(json.dumps(told))


def soak(stage: SoakStage, progress: Progress, *, seconds: float, dice: random.Random) -> None:
    """Put in faults until the time is over."""
    stage.start()
    before = progress.seconds
    begun_at = time.monotonic()
    stage.until_in_flight()
    stage.go_on_for(RATE_SECONDS)
    while progress.seconds < seconds:
        stage.go_on_for(dice.uniform(*BETWEEN_SECONDS))
        [fault] = dice.choices(list(FAULTS), list(FAULTS.values()))
        rate, struck_at = stage.rate(RATE_SECONDS), time.monotonic()
        in_flight = fault(stage, dice)
        lasted = time.monotonic() - struck_at
        progress.injected.append(
            Injected(
                fault=fault.__name__,
                seconds=round(lasted, 2),
                in_flight=in_flight,
                recovery=_recovery(stage, rate),
            )
        )
        progress.seconds = before + time.monotonic() - begun_at
        progress.save()
        stage.book.save()
        _say(progress, stage)


def _recovery(stage: SoakStage, rate: float) -> float | None:
    """Return the seconds until a window begins in which events are settled as fast as before."""
    over_at = time.monotonic()
    while (passed := time.monotonic() - over_at) < RECOVERY_LIMIT:
        stage.go_on_for(LOOK_SECONDS)
        if passed >= WINDOW_SECONDS and stage.rate(WINDOW_SECONDS) >= RECOVERED * rate:
            return round(passed - WINDOW_SECONDS, 1)
    return None


def _say(progress: Progress, stage: SoakStage) -> None:
    last, oracle = progress.injected[-1], stage.oracle
    sys.stdout.write(
        f"{progress.seconds:6.0f} s  {last.fault:<22} in flight {last.in_flight:>4}"
        f"  recovered in {last.recovery} s  settled {len(oracle.settled):,}"
        f"  wrong {len(oracle.passed) + len(oracle.doubled) + len(oracle.disordered)}\n"
    )
    sys.stdout.flush()


def _finish(stage: SoakStage, *, interrupted: bool) -> Verdict:
    if interrupted:
        return Verdict(double_effects=0, missing_effects=0, unfinished="interrupted")
    try:
        doubled, missing = stage.finish(END_LIMIT)
    except TimeoutError as error:
        return Verdict(double_effects=0, missing_effects=0, unfinished=str(error))
    return Verdict(double_effects=doubled, missing_effects=missing)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.faults.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=None, help="chooses faults and moments")
    parser.add_argument("--database", choices=DATABASES, default="postgresql")
    parser.add_argument(
        "--folder", type=Path, help="where all is kept; that of an earlier run: go on with it"
    )
    return parser.parse_args()


def main() -> int:
    """Run the soak; the exit status is 0 when nothing is wrong."""
    asked = _arguments()
    folder = asked.folder or Path(tempfile.mkdtemp(prefix="soak-"))
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)  # The database runs under an account of its own.
    seed = asked.seed if asked.seed is not None else random.SystemRandom().randrange(2**32)
    sys.stdout.write(f"seed {seed}, all is kept in {folder}\n")
    progress = Progress(path=folder / "progress.json")
    progress.load()
    dice = random.Random(f"{seed} {len(progress.injected)}")  # noqa: S311 - chooses moments
    with ExitStack() as stack:
        kafka = stack.enter_context(Kafka(folder / "kafka"))
        database = stack.enter_context(DATABASES[asked.database](folder / asked.database))
        [[version]] = database.execute("SELECT version()")
        about = {
            "seed": seed,
            "minutes": asked.minutes,
            **report.facts(str(version).partition(" (")[0]),
        }
        stage = SoakStage(folder, kafka=kafka, database=database, dice=dice)
        stack.enter_context(stage.network)
        stack.callback(stage.close)
        interrupted = False
        try:
            soak(stage, progress, seconds=60 * asked.minutes, dice=dice)
        except KeyboardInterrupt:
            interrupted = True
        verdict = _finish(stage, interrupted=interrupted)
        found = report.summary(stage, progress.injected, verdict, about)
    report.write(found, folder)
    sys.stdout.write(report.markdown(found))
    return not report.is_clean(found)


if __name__ == "__main__":
    sys.exit(main())
