"""Commands beside Faust's own: `uv run faust -A app new-agent ...`."""

import asyncio
import keyword
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from signal import SIGINT, SIGTERM
from typing import NoReturn

from faust.cli.base import AppCommand, argument, option
from sqlalchemy.exc import SQLAlchemyError

from app.ages import age
from app.checkpoint import CheckpointError, Pruned, Pruner, Retention
from app.settings import Settings, is_topic

AGENTS = Path("app", "agents")
TESTS = Path("tests", "agents")

AGENT = '''\
"""What is done with each event of a topic."""

from typing import Any

from app.checkpoint import Ack, Metadata, ack
from app.main import app, checkpoint

events = app.topic(
    "{topic}",
    key_serializer="raw",
    value_serializer="raw",
)


@app.agent(events)
@checkpoint(max_retries=3)
async def handle(payload: dict[str, Any], metadata: Metadata) -> Ack:
    """Record an event once, however often it is delivered."""
    return ack(payload["id"], payload["time"])
'''

TEST = '''\
"""The agent, run through the whole checkpoint without Kafka."""

from datetime import UTC, datetime

from app.agents.{name} import handle
from app.checkpoint.testing import database, process

EVENT = b'{{"id": "event-1", "time": "2026-01-02T03:04:05Z"}}'


async def test_an_event_is_acknowledged() -> None:
    """An event is recorded with its own id and time."""
    result = await process(handle, EVENT)
    assert result.ack is not None
    assert result.ack.entity_id == "event-1"
    assert result.ack.event_time == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


async def test_the_same_event_is_handled_once() -> None:
    """A second delivery of the same bytes is a duplicate."""
    async with database() as events:
        first = await process(handle, EVENT, into=events)
        second = await process(handle, EVENT, into=events, offset=14)
    assert (first.outcome, second.outcome) == ("acknowledged", "duplicate")


async def test_an_event_without_a_time_fails() -> None:
    """An event that cannot be recorded is tried four times and becomes a failure."""
    result = await process(handle, b'{{"id": "event-1"}}')
    assert (result.outcome, result.attempts) == ("failed", 4)
    assert isinstance(result.error, KeyError)
'''

PROGRESS_SECONDS = 1.0
"""Between two lines about how far a command is."""

WRITTEN = """\
Written: {agent} and {test}.
Next, put what your service does with an event into `handle`, and run:

  uv run pytest {test}
  uv run dev
"""


def refusal(name: str, topic: str) -> str | None:
    """Return why no agent can have this name or topic, in one sentence; None if it can."""
    # Not any identifier: linters want lower case in a module's name, and file systems a short one.
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,59}", name) or keyword.iskeyword(name):
        return f"{name!r} cannot be a module: write lower-case letters, digits and '_', no keyword"
    if not is_topic(topic):
        return f"{topic!r} cannot be a Kafka topic: write letters, digits, '.', '_' and '-'"
    return None


class new_agent(AppCommand):  # noqa: N801 - Faust names the command after the class
    """Write the module app/agents/NAME.py, which handles the events of a topic, and its test."""

    options = [  # noqa: RUF012 - read once, and Faust wants a list
        argument("name"),
        option("--topic", required=True, help="Kafka topic whose events the agent handles."),
    ]

    def __call__(self) -> NoReturn:
        """Write the two files, or end with status 1 and a sentence that says why not."""
        name, topic = self.kwargs["name"], self.kwargs["topic"]
        agent, test = AGENTS / f"{name}.py", TESTS / f"test_{name}.py"
        reason = refusal(name, topic) or self._conflict(name, agent, test)
        if reason:
            sys.exit(reason)
        agent.write_text(AGENT.format(topic=topic))
        test.write_text(TEST.format(name=name))
        self.say(WRITTEN.format(agent=agent, test=test))
        sys.exit()

    def _conflict(self, name: str, *files: Path) -> str | None:
        for folder in (AGENTS, TESTS):
            if not folder.is_dir():
                return f"There is no {folder} here: go to the service's own folder first"
        for path in (*files, AGENTS / name):
            if path.exists():
                return f"{path} exists, and nothing is overwritten: choose another name"
        if f"app.agents.{name}.handle" in self.app.agents:
            return f"An agent has the name app.agents.{name}.handle already: choose another"
        return None


def prune_refusal(ages: Mapping[str, str]) -> str | None:
    """Return why nothing can be deleted by these ages, in one sentence; None if it can."""
    if not ages:
        return (
            "Nothing is deleted: say what, and from which age on, as --events 90d --resolved 30d"
            " --discarded 30d --audit 365d"
        )
    for name, text in ages.items():
        if age(text) is None:
            return f"--{name} {text} cannot be used: write days or hours, as 90d or 12h"
    return None


class prune(AppCommand):  # noqa: N801 - the same
    """Delete what is older than the AGE given for it (90d, 12h), while workers go on.

    An event whose row is deleted, or whose open failure is, is handled again if Kafka delivers it
    again: keep these two longer than their topic does.

    It may be ended anywhere, and run again.
    """

    options = [  # noqa: RUF012 - the same
        option("--events", metavar="AGE", help="Events that were recorded longer ago."),
        option("--resolved", metavar="AGE", help="Resolved failures that last failed longer ago."),
        option("--discarded", metavar="AGE", help="The same of discarded ones."),
        option("--open", metavar="AGE", help="The same of failures that nobody has settled."),
        option("--audit", metavar="AGE", help="Audit and ended bulk operations."),
        option("--dry-run", is_flag=True, help="Count only, as slowly."),
    ]

    def __call__(self) -> NoReturn:
        """Delete, or end with status 1 and a sentence that says why not, or not all."""
        dry_run: bool = self.kwargs.pop("dry_run")
        given = {name: text for name, text in self.kwargs.items() if text is not None}
        reason = prune_refusal(given)
        if reason:
            sys.exit(reason)
        self._due = 0.0
        self._verb = "Would delete" if dry_run else "Deleted"
        keep = Retention(**{name: age(text) for name, text in given.items()})
        url = Settings.load().database_url
        sys.exit(asyncio.run(self._run(Pruner(url, keep, dry_run=dry_run, tell=self._tell))))

    async def _run(self, pruner: Pruner) -> str | None:
        loop = asyncio.get_running_loop()

        def stop() -> None:
            pruner.stop()
            for signal in (SIGINT, SIGTERM):
                # Whoever does not want to wait for the batch in hand sends another one.
                loop.remove_signal_handler(signal)

        for signal in (SIGINT, SIGTERM):
            loop.add_signal_handler(signal, stop)
        try:
            pruned = await pruner.run()
        except (CheckpointError, SQLAlchemyError) as error:
            cause = getattr(error, "orig", None) or error
            return f"It ends here: {cause}".splitlines()[0]
        self.say(f"{self._verb}: {told(pruned)}")
        return None if pruned.complete else "Stopped before the end: run it again to go on"

    def _tell(self, pruned: Pruned) -> None:
        if pruned.seconds >= self._due:
            self._due = pruned.seconds + PROGRESS_SECONDS
            self.say(f"{self._verb} so far: {told(pruned)}")


def told(pruned: Pruned) -> str:
    """Return what was deleted, in how many seconds and how fast, in one line."""
    rows = ", ".join(f"{name} {count:,}" for name, count in pruned.rows.items())
    rate = sum(pruned.rows.values()) / max(pruned.seconds, 0.001)
    return f"{rows}; {pruned.seconds:.1f} s, {rate:,.0f} rows/s"
