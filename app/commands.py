"""Commands beside Faust's own: `uv run faust -A app new-agent ...`."""

import keyword
import re
import sys
from pathlib import Path
from typing import NoReturn

from faust.cli.base import AppCommand, argument, option

from app.settings import is_topic

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
