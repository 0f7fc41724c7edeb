"""Every way to say where the template is, and what to do with files that are there already."""

import os
import shutil
from pathlib import Path

import pytest

from tests.template.kitchen import Kitchen, contents, succeed

ANSWERS = {"project_name": "Parcels", "source_topic": "parcels", "database": "mysql"}


@pytest.fixture
def expected(kitchen: Kitchen, template: Path) -> dict[str, bytes]:
    """Return what is in a service that was made by the template's absolute path."""
    service = kitchen.bake(template, **ANSWERS)
    made = contents(service)
    shutil.rmtree(service)
    return made


def test_a_relative_path(kitchen: Kitchen, template: Path, expected: dict[str, bytes]) -> None:
    """The template may be named as it is seen from where one is."""
    path = os.path.relpath(template, kitchen.folder)
    assert contents(kitchen.bake(path, **ANSWERS)) == expected


def test_here(kitchen: Kitchen, template: Path, expected: dict[str, bytes]) -> None:
    """Within the template, it is `.`, and the service is made where one says."""
    there = Kitchen(template, kitchen.tools, own=kitchen.folder.parent)
    result = there.run(
        *("cookiecutter", "--no-input", ".", "--output-dir", kitchen.folder),
        *(f"{name}={value}" for name, value in ANSWERS.items()),
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert contents(kitchen.folder / "parcels") == expected
    assert succeed("git", "status", "--porcelain", folder=template) == ""


def test_a_git_url(kitchen: Kitchen, template: Path, expected: dict[str, bytes]) -> None:
    """The template is cloned when its URL is given."""
    bare = kitchen.folder.parent / "template.git"
    succeed("git", "clone", "-q", "--bare", template, bare, folder=template)
    assert contents(kitchen.bake(bare.as_uri(), **ANSWERS)) == expected


def test_a_zip(kitchen: Kitchen, template: Path, expected: dict[str, bytes]) -> None:
    """The template may be an archive, as forges offer it."""
    archive = kitchen.folder.parent / "template.zip"
    command = ("git", "archive", "--prefix", "template-main/", "-o", archive, "HEAD")
    succeed(*command, folder=template)
    assert contents(kitchen.bake(str(archive), **ANSWERS)) == expected


def test_the_same_answers_again(kitchen: Kitchen, template: Path) -> None:
    """`--replay` asks nothing and makes the same service."""
    service = kitchen.bake(template, **ANSWERS)
    made = contents(service)
    shutil.rmtree(service)
    assert kitchen.run("cookiecutter", "--replay", template).returncode == 0
    assert contents(service) == made


def test_a_bad_answer_in_a_replay_file_is_refused(
    kitchen: Kitchen, template: Path, tmp_path: Path
) -> None:
    """Whoever writes answers into a file is told the same as who types them; nothing is left."""
    shutil.rmtree(kitchen.bake(template, **ANSWERS))
    [answers] = tmp_path.rglob("replay/*.json")
    answers.write_text(
        answers.read_text().replace('"source_topic": "parcels"', '"source_topic": "two words"')
    )
    result = kitchen.run("cookiecutter", "--replay-file", answers, template)
    assert result.returncode == 1
    assert "source_topic must be a Kafka topic" in result.stderr
    assert not list(kitchen.folder.iterdir())


def test_an_existing_service_is_left_alone(kitchen: Kitchen, template: Path) -> None:
    """Without an option to overwrite, nothing happens to it."""
    service = kitchen.bake(template, **ANSWERS)
    (service / "compose.yaml").write_text("mine")
    again = kitchen.run("cookiecutter", "--no-input", template, "project_name=Parcels")
    assert again.returncode == 1
    assert (service / "compose.yaml").read_text() == "mine"


@pytest.mark.parametrize(("options", "kept"), [(["-f"], False), (["-f", "-s"], True)])
def test_existing_files_are_overwritten_or_kept(
    kitchen: Kitchen, template: Path, options: list[str], *, kept: bool
) -> None:
    """`-f` writes all files anew, and with `-s` only those that are missing; others stay."""
    service = kitchen.bake(template, **ANSWERS)
    made = contents(service)
    changed = ["README.md", "compose.yaml", "app/settings.py"]
    for name in changed:
        (service / name).write_text("mine")
    (service / "Procfile").unlink()
    (service / "app" / "agents" / "mine.py").write_text("mine")
    given = [f"{name}={value}" for name, value in ANSWERS.items()]
    result = kitchen.run("cookiecutter", "--no-input", *options, template, *given)
    assert result.returncode == 0, result.stdout + result.stderr
    mine = dict.fromkeys(changed if kept else [], b"mine")
    assert contents(service) == made | mine | {"app/agents/mine.py": b"mine"}


def test_a_service_without_hooks_says_so(kitchen: Kitchen, template: Path) -> None:
    """Whoever does not let hooks run gets a note instead of a riddle."""
    service = kitchen.bake(template, "--accept-hooks", "no")
    assert sorted(contents(service)) == ["HOOKS-DID-NOT-RUN.txt", "README.md"]


@pytest.mark.parametrize("exists", [False, True])
def test_an_edit_that_does_not_fit_fails(
    kitchen: Kitchen, template: Path, tmp_path: Path, *, exists: bool
) -> None:
    """A template that contradicts itself says where, makes no service and spoils none."""
    before = contents(kitchen.bake(template, **ANSWERS)) if exists else {}
    broken = shutil.copytree(template, tmp_path / "broken")
    settings = broken / "app" / "settings.py"
    settings.write_text(settings.read_text().replace("SOURCE_TOPIC = ", "TOPIC = "))
    given = [f"{name}={value}" for name, value in ANSWERS.items()]
    result = kitchen.run("cookiecutter", "--no-input", "-f", broken, *given)
    assert result.returncode == 1
    assert 'app/settings.py does not have exactly once: SOURCE_TOPIC = "orders"' in result.stderr
    assert contents(kitchen.folder / "parcels") == before
    assert (kitchen.folder / "parcels").exists() == exists


def test_what_lies_about_in_a_checkout_stays_there(
    kitchen: Kitchen, template: Path, tmp_path: Path, expected: dict[str, bytes]
) -> None:
    """What running and testing leave in the template's folder is in no service."""
    dirty = shutil.copytree(template, tmp_path / "dirty")
    for name in (".env", "service.db", "uv.lock", "app/__pycache__/x.pyc", ".venv/bin/python"):
        (dirty / name).parent.mkdir(parents=True, exist_ok=True)
        (dirty / name).write_text("not yours")
    (dirty / ".venv" / "lib").symlink_to("nowhere")
    assert contents(kitchen.bake(dirty, **ANSWERS)) == expected
