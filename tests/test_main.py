"""Faust's commands and alembic start from what is wired here, or say in a sentence why not."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.checkout import ROOT, checkout, environment, run

WORKER = ("faust", "-A", "app", "worker")
UPGRADE = ("alembic", "upgrade", "head")


def python(code: str) -> str:
    """Return what a new interpreter prints."""
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout.strip()


@pytest.mark.parametrize(
    ("command", "name", "value"),
    [
        (WORKER, "BROKER_URL", "kafka://me:s3cret@host"),
        (UPGRADE, "DATABASE_URL", "oracle://me:s3cret@host"),
    ],
    ids=["worker", "migrations"],
)
def test_a_bad_setting_is_one_sentence(command: tuple[str, ...], name: str, value: str) -> None:
    """Whoever starts a command with it reads what to write: no traceback and no password."""
    result = run(ROOT, *command, **{name: value})
    assert result.returncode == 1
    [sentence] = (result.stdout + result.stderr).splitlines()
    assert sentence.startswith(f"{name}=… cannot be used: ")


def test_the_engine_comes_without_agents() -> None:
    """Importing the engine wires nothing and brings in no agent."""
    code = "import sys, app.checkpoint; print([m for m in sys.modules if m.startswith('app.')])"
    imported = python(code)
    assert "app.checkpoint" in imported
    for absent in ("app.main", "app.agents", "app.settings", "app.web", "app.dev"):
        assert absent not in imported


def test_the_package_alone_wires_nothing() -> None:
    """`app` is made when it is first asked for."""
    made = "print('app.main' in sys.modules)"
    assert python(f"import app, sys; {made}; app.app; {made}").split() == ["False", "True"]


def test_the_package_has_nothing_else() -> None:
    """A misspelt name is an AttributeError, as in any module."""
    with pytest.raises(AttributeError, match="no attribute 'ap'"):
        getattr(__import__("app"), "ap")  # noqa: B009 - mypy knows that it is not there


def test_commands_run_on_uvloop() -> None:
    """What Faust's command line runs is on uvloop; whoever imports the app keeps their loop."""
    code = """if True:
        import asyncio, app.main
        from faust.cli.base import find_app
        from mode.utils.loops import get_event_loop
        print(type(asyncio.new_event_loop()).__module__.partition(".")[0])
        find_app("app")
        print(type(get_event_loop()).__module__)
    """
    assert python(code).split() == ["asyncio", "uvloop"]


def test_the_garbage_collector_passes_over_what_is_there_for_good() -> None:
    """Neither an event nor a request waits for it to look through all that was imported."""
    code = """if True:
        import gc, app.main
        from faust.cli.base import find_app
        find_app("app")
        print(gc.get_freeze_count() > 10 * len(gc.get_objects()))
    """
    assert python(code) == "True"


def test_every_agent_module_is_found(tmp_path: Path) -> None:
    """A module that is put into app/agents needs no mention elsewhere."""
    service = checkout(tmp_path)
    orders = (service / "app" / "agents" / "orders.py").read_text()
    (service / "app" / "agents" / "bills.py").write_text(orders.replace("process_order", "bill"))
    listed = run(service, "faust", "-A", "app", "agents").stdout
    assert "orders.process_order" in listed
    assert "bills.bill" in listed


def test_a_broken_agent_module_is_not_passed_over(tmp_path: Path) -> None:
    """A worker without one of its agents would look well and do nothing: no command goes on."""
    service = checkout(tmp_path)
    (service / "app" / "agents" / "broken.py").write_text("import nothing_of_this_name\n")
    result = run(service, "faust", "-A", "app", "agents")
    assert result.returncode == 1
    assert "No module named 'nothing_of_this_name'" in result.stderr
    assert "app.agents.broken" in result.stderr


def test_the_framework_speaks_no_more_than_it_may() -> None:
    """What Faust says can be turned down without the service's own log lines."""
    code = """if True:
        import logging, os
        os.environ["FRAMEWORK_LOG_LEVEL"] = "warning"
        import app.main, mode.worker, faust.app.base
        logging.root.setLevel(logging.INFO)
        for name in ("faust.app.base", "mode.worker", "aiokafka.consumer", "app.checkpoint"):
            print(logging.getLogger(name).isEnabledFor(logging.INFO))
    """
    assert python(code).split() == ["False", "False", "False", "True"]
