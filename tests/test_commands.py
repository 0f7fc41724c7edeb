"""`faust -A app new-agent`: what it writes works as it is, and what it refuses leaves no trace."""

import json
import shutil
from pathlib import Path

import pytest

from app.commands import refusal
from tests.checkout import ROOT, checkout, run
from tests.end_to_end.dev import dev, some_placed
from tests.servers.machine import free_port

NEW_AGENT = ("faust", "-A", "app", "new-agent")
LONGEST_NAME = "n" * 60
LONGEST_TOPIC = "t" * 249


@pytest.fixture
def service(tmp_path: Path) -> Path:
    """Return a folder with the service and the tests of its agents."""
    folder = checkout(tmp_path / "service")
    shutil.copytree(ROOT / "tests" / "agents", folder / "tests" / "agents")
    shutil.copy(ROOT / "tests" / "__init__.py", folder / "tests")
    return folder


def add(service: Path, name: str, topic: str) -> str:
    """Add an agent, and return what the command prints."""
    result = run(service, *NEW_AGENT, name, "--topic", topic)
    assert result.returncode == 0, result.stderr
    return result.stdout


def refused(folder: Path, name: str, topic: str) -> str:
    """Return the one line that the command prints before it ends with an error."""
    before = files(folder)
    result = run(folder, *NEW_AGENT, name, "--topic", topic)
    assert (result.returncode, result.stdout) == (1, "")
    assert files(folder) == before
    [sentence] = result.stderr.splitlines()
    return sentence


def files(folder: Path) -> dict[Path, bytes]:
    """Return what is in the folder, but for what Python itself leaves there."""
    return {path: path.read_bytes() for path in folder.rglob("*.py")}


def test_a_new_agent_is_a_module_and_a_test(service: Path) -> None:
    """Two files are written, none is changed, and the author is told which to go on with."""
    before = files(service)
    printed = add(service, "shipments", "shipments")
    after = files(service)
    agent, test = Path("app/agents/shipments.py"), Path("tests/agents/test_shipments.py")
    assert after.keys() - before.keys() == {service / agent, service / test}
    assert before.items() <= after.items()
    assert f"Written: {agent} and {test}." in printed
    assert f"uv run pytest {test}" in printed


def test_a_new_agent_is_found(service: Path) -> None:
    """Faust lists it with its topic, and nothing had to be registered."""
    add(service, "shipments", "parcels")
    agents = json.loads(run(service, "faust", "--json", "-A", "app", "agents").stdout)
    [name] = [agent["name"] for agent in agents if agent["topic"] == "parcels"]
    assert name.endswith("shipments.handle")


def test_a_new_agent_consumes(service: Path) -> None:
    """The first agent of a service that has no other records the events of its topic."""
    (service / "app" / "agents" / "orders.py").unlink()
    add(service, "shipments", "orders")
    with dev(service, free_port()):
        assert some_placed(service)


def test_the_test_of_a_new_agent_passes(service: Path) -> None:
    """It has tests of its own, and the service's other agents keep theirs."""
    add(service, "shipments", "shipments")
    result = run(service, "pytest", "-v", "tests")
    assert result.returncode == 0, result.stdout
    assert "tests/agents/test_shipments.py::" in result.stdout


def test_the_test_of_a_new_agent_can_fail(service: Path) -> None:
    """A handler that does not record its event is noticed."""
    add(service, "shipments", "shipments")
    agent = service / "app" / "agents" / "shipments.py"
    agent.write_text(agent.read_text().replace('payload["id"]', '"another"'))
    result = run(service, "pytest", "-q", "tests/agents/test_shipments.py")
    assert result.returncode == 1
    assert "test_an_event_is_acknowledged" in result.stdout


@pytest.mark.parametrize(
    "tool",
    ["ruff check", "ruff format --check", pytest.param("mypy", marks=pytest.mark.full)],
)
def test_a_new_agent_passes_the_linters(service: Path, tool: str) -> None:
    """What is written needs no change for the service's own rules, however long its names are."""
    add(service, LONGEST_NAME, LONGEST_TOPIC)
    written = [f"app/agents/{LONGEST_NAME}.py", f"tests/agents/test_{LONGEST_NAME}.py"]
    result = run(service, *tool.split(), *written)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    "name",
    ["", "Shipments", "2nd", "_shipments", "ship-ments", "../shipments", "class", "n\n", "é"],
)
def test_a_name_that_is_no_module_is_refused(name: str) -> None:
    """The sentence shows the name and what to write instead."""
    sentence = refusal(name, "shipments") or ""
    assert sentence.startswith(f"{name!r} cannot be a module: write lower-case letters")


@pytest.mark.parametrize("topic", ["", "..", 'ship"ments', "parcels\n", "{name}"])
def test_a_name_that_is_no_topic_is_refused(topic: str) -> None:
    """The sentence shows the topic and what to write instead."""
    sentence = refusal("shipments", topic) or ""
    assert sentence.startswith(f"{topic!r} cannot be a Kafka topic: write letters")


def test_a_name_or_topic_that_is_too_long_is_refused() -> None:
    """One more letter than the longest that the linters see above is too many."""
    assert refusal(LONGEST_NAME, LONGEST_TOPIC) is None
    assert refusal(f"{LONGEST_NAME}n", LONGEST_TOPIC)
    assert refusal(LONGEST_NAME, f"{LONGEST_TOPIC}t")


def test_a_bad_name_is_one_sentence(service: Path) -> None:
    """Whoever writes one reads why, and no file is written."""
    assert refused(service, "2nd", "shipments") == refusal("2nd", "shipments")


@pytest.mark.parametrize(
    "existing",
    ["app/agents/shipments.py", "app/agents/shipments", "tests/agents/test_shipments.py"],
)
def test_nothing_is_overwritten(service: Path, existing: str) -> None:
    """A module, a package or a test that is there already is left alone."""
    path = service / existing
    if path.suffix:
        path.write_text("")
    else:
        path.mkdir()
        (path / "__init__.py").write_text("")
    sentence = refused(service, "shipments", "shipments")
    assert sentence.startswith(f"{existing} exists, and nothing is overwritten")


def test_a_name_of_another_agent_is_refused(service: Path) -> None:
    """An agent whose module was moved keeps its name, which is part of its events' identity."""
    orders = service / "app" / "agents" / "orders.py"
    pinned = '@app.agent(orders, name="app.agents.shipments.handle")'
    orders.write_text(orders.read_text().replace("@app.agent(orders)", pinned))
    sentence = refused(service, "shipments", "shipments")
    assert sentence.startswith("An agent has the name app.agents.shipments.handle already")


def test_another_folder_than_the_services_own_is_refused(service: Path) -> None:
    """The sentence names the folder that should be there."""
    sentence = refused(service.parent, "shipments", "shipments")
    assert sentence.startswith("There is no app/agents here")
    shutil.rmtree(service / "tests")
    sentence = refused(service, "shipments", "shipments")
    assert sentence.startswith("There is no tests/agents here")
