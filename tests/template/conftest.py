"""What the tests make services with, and what they make them of."""

from pathlib import Path

import pytest

from tests.checkout import ROOT
from tests.template.answers import PAIRS, name_of
from tests.template.kitchen import Kitchen, copy_template


@pytest.fixture(scope="session")
def equipment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the commands of tests/template/requirements.txt."""
    return Kitchen.equip(tmp_path_factory.mktemp("tools"))


@pytest.fixture
def kitchen(tmp_path: Path, equipment: Path) -> Kitchen:
    """Return a place to make services in, whose path has a space."""
    folder = tmp_path / "my services"
    folder.mkdir()
    return Kitchen(folder, equipment, own=tmp_path)


@pytest.fixture(scope="session", params=PAIRS, ids=name_of)
def answers(request: pytest.FixtureRequest) -> dict[str, str]:
    """Return answers, of which any two meet in one case."""
    pair: dict[str, str] = request.param
    return pair


@pytest.fixture(scope="session")
def service(
    answers: dict[str, str], equipment: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return the service that these answers give; it is only read."""
    own = tmp_path_factory.mktemp("own")
    return Kitchen(tmp_path_factory.mktemp("pair"), equipment, own=own).bake(ROOT, **answers)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a git repository with what is in this one, committed."""
    # Not "x/.git": cookiecutter names its copy of a repository after the end of the URL.
    return copy_template(tmp_path_factory.mktemp("template") / "faust-template")
