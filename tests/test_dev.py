"""What `uv run dev` refuses, each in one sentence that says what to do."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.dev import on_this_machine
from tests.checkout import ROOT, checkout, run
from tests.servers.machine import free_port


@pytest.fixture
def taken_port() -> Iterator[int]:
    """Return a port that somebody else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def refusal(folder: Path = ROOT, **variables: str) -> str:
    """Return the one line that dev mode prints before it ends with an error."""
    variables = {"WEB_PORT": str(free_port()), **variables}
    result = run(folder, "app.dev", **variables)
    assert result.returncode == 1, result
    printed = result.stdout + result.stderr
    assert printed.count("\n") == 1, printed
    return printed


def test_a_port_in_use_is_refused(taken_port: int) -> None:
    """The sentence names the port and the variable that chooses another."""
    sentence = refusal(WEB_PORT=str(taken_port))
    assert f"Port {taken_port} is in use" in sentence
    assert "set WEB_PORT" in sentence


def test_a_database_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """The sentence names the folder that is to be made writable."""
    service = checkout(tmp_path)
    # Not even root can write a file where a folder is.
    (service / "service.db").mkdir()
    sentence = refusal(service)
    assert "sqlite:///service.db cannot be used" in sentence
    assert f"writable (in {service})" in sentence


def test_a_database_that_does_not_answer_is_refused() -> None:
    """The sentence shows which one it is without its password."""
    url = f"postgresql://me:s3cret@127.0.0.1:{free_port()}/name"
    sentence = refusal(DATABASE_URL=url)
    assert url.replace("s3cret", "***") in sentence
    assert "start it, correct DATABASE_URL" in sentence


def test_a_broker_that_does_not_answer_is_refused() -> None:
    """The sentence shows which one it is, and how to do without."""
    url = f"kafka://127.0.0.1:{free_port()}"
    sentence = refusal(BROKER_URL=url)
    assert url in sentence
    assert "leave BROKER_URL empty" in sentence


def test_a_setting_that_cannot_be_used_is_refused() -> None:
    """The sentence is that of the settings."""
    assert refusal(BROKER_URL="nonsense").startswith("BROKER_URL=nonsense cannot be used: ")


def test_an_installation_for_production_is_told_what_it_lacks(tmp_path: Path) -> None:
    """Dev mode can be imported without the embedded broker, and says how to get it."""
    (tmp_path / "confluent_kafka.py").write_text("raise ImportError\n")
    sentence = refusal(PYTHONPATH=str(tmp_path))
    assert "`uv sync`" in sentence


def test_ctrl_c_ends_a_start(tmp_path: Path) -> None:
    """A Ctrl-C that comes while modules are imported ends the start, and no stack is shown."""
    service = checkout(tmp_path)
    settings = service / "app" / "settings.py"
    ctrl_c = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n"
    settings.write_text(ctrl_c + settings.read_text())
    result = run(service, "app.dev", WEB_PORT=str(free_port()))
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("broker_url", "here"),
    [
        ("kafka://localhost:9092", True),
        ("kafka://127.0.0.1:9092;kafka://127.0.0.1:9093/", True),
        ("kafka://kafka.example.com:9092", False),
        ("kafka://localhost:9092;kafka://kafka.example.com:9092", False),
        ("kafka://localhost.example.com:9092", False),
    ],
)
def test_demo_orders_stay_on_this_machine(broker_url: str, *, here: bool) -> None:
    """A broker that others may use for real gets no demo orders."""
    assert on_this_machine(broker_url) is here
