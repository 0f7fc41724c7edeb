"""A service follows the template's later versions with cruft, and keeps what its author did."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.template.kitchen import Kitchen, commit, contents, succeed

ANSWERS = {"project_name": "Parcels", "source_topic": "parcels", "database": "sqlite"}
ORDERS = "app/agents/orders.py"


class Followed:
    """A service that cruft made, and the repository of the template that it follows."""

    def __init__(self, kitchen: Kitchen, template: Path) -> None:
        self.kitchen = kitchen
        self.template = template
        self.folder = kitchen.folder / "parcels"
        create = ("create", "--no-input", "--extra-context", json.dumps(ANSWERS), str(template))
        kitchen.succeed("cruft", *create)
        commit(self.folder)

    def release(self, change: Callable[[Path], object]) -> None:
        """Commit a change to the template."""
        change(self.template)
        commit(self.template, "A later version")

    def cruft(self, *arguments: str) -> str:
        """Run a command of cruft on the service and return what it prints."""
        command, *options = arguments
        return self.kitchen.succeed("cruft", command, "--project-dir", self.folder, *options)

    def update(self, *options: str) -> None:
        """Update the service, and commit what has changed."""
        self.cruft("update", "--skip-apply-ask", *options)
        commit(self.folder)


@pytest.fixture
def followed(kitchen: Kitchen, template: Path, tmp_path: Path) -> Followed:
    """Return a new service with a template of its own."""
    return Followed(kitchen, shutil.copytree(template, tmp_path / "faust-template"))


def replace(folder: Path, name: str, old: str, new: str) -> None:
    """Replace what a file has exactly once."""
    text = (folder / name).read_text()
    assert text.count(old) == 1
    (folder / name).write_text(text.replace(old, new))


def test_cruft_makes_what_cookiecutter_makes(followed: Followed, tmp_path: Path) -> None:
    """The service is the same; its hooks do nothing else, and print nothing into cruft's diff."""
    folder = tmp_path / "other services"
    folder.mkdir()
    other = Kitchen(folder, followed.kitchen.tools, own=tmp_path)
    assert contents(followed.folder) == contents(other.bake(followed.template, **ANSWERS))
    followed.cruft("check")
    assert followed.cruft("diff") == ""
    assert succeed("git", "status", "--porcelain", "--ignored", folder=followed.folder) == ""


def test_the_template_s_changes_arrive(followed: Followed) -> None:
    """Files that were changed, added and removed there are changed, added and removed here."""

    def change(template: Path) -> None:
        replace(template, ORDERS, "max_retries=3", "max_retries=4")
        (template / "app" / "agents" / "bills.py").write_text('"""Bills."""\n')
        (template / "tests" / "agents" / "test_orders.py").unlink()

    followed.release(change)
    assert followed.kitchen.run("cruft", "check", "--project-dir", followed.folder).returncode == 1
    followed.update()
    assert "max_retries=4" in (followed.folder / ORDERS).read_text()
    assert (followed.folder / "app" / "agents" / "bills.py").is_file()
    assert not (followed.folder / "tests" / "agents" / "test_orders.py").exists()
    followed.cruft("check")
    assert followed.cruft("diff") == ""


def test_the_author_s_changes_stay(followed: Followed) -> None:
    """What the author has edited, added and deleted stays so while the template goes on."""
    folder = followed.folder
    replace(folder, ORDERS, "Ship an order once", "Ship my order once")
    replace(folder, "app/settings.py", 'SOURCE_TOPIC = "parcels"', 'SOURCE_TOPIC = "letters"')
    (folder / "app" / "agents" / "mine.py").write_text('"""Mine."""\n')
    (folder / "Procfile").unlink()
    (folder / "uv.lock").write_text("version = 1\n")
    commit(folder)
    followed.release(lambda template: replace(template, ORDERS, "max_retries=3", "max_retries=4"))
    followed.update()
    orders = (folder / ORDERS).read_text()
    assert "Ship my order once" in orders
    assert "max_retries=4" in orders
    assert '"letters"' in (folder / "app" / "settings.py").read_text()
    assert (folder / "app" / "agents" / "mine.py").is_file()
    assert (folder / "uv.lock").is_file()
    assert not (folder / "Procfile").exists()


def test_an_answer_can_be_changed_later(followed: Followed) -> None:
    """Another database and another CI replace what the first answers had given."""
    changed = {"database": "mysql", "ci": "gitlab"}
    followed.update("--variables-to-update", json.dumps(changed))
    assert "mariadb:" in (followed.folder / "compose.yaml").read_text()
    assert (followed.folder / ".gitlab-ci.yml").is_file()
    assert not (followed.folder / ".github").exists()
    assert 'SOURCE_TOPIC = "parcels"' in (followed.folder / "app" / "settings.py").read_text()


def test_a_bad_answer_cannot_be_changed_to(followed: Followed) -> None:
    """What cookiecutter refuses, an update refuses too, and nothing changes."""
    before = contents(followed.folder)
    bad = json.dumps({"source_topic": "two words"})
    update = ("update", "--project-dir", followed.folder, "--variables-to-update", bad)
    result = followed.kitchen.run("cruft", *update)
    assert result.returncode != 0
    assert "source_topic must be a Kafka topic" in result.stderr
    assert contents(followed.folder) == before


def test_a_service_of_cookiecutter_can_follow_later(followed: Followed) -> None:
    """`cruft link` makes up for not having used cruft from the start."""
    shutil.rmtree(followed.folder)
    service = followed.kitchen.bake(followed.template, **ANSWERS)
    commit(service)
    link = ("link", "--no-input", "--extra-context", json.dumps(ANSWERS))
    followed.cruft(*link, str(followed.template))
    commit(service)
    assert followed.cruft("diff") == ""
    followed.release(lambda template: replace(template, ORDERS, "max_retries=3", "max_retries=4"))
    followed.update()
    assert "max_retries=4" in (service / ORDERS).read_text()
