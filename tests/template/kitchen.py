"""Cookiecutter and cruft, run as users run them, but for their configuration."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.availability import missing
from tests.checkout import ROOT, SETTINGS

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
NOT_OURS = {"CI", "PYTHONPATH", "UV_NO_SYNC", "UV_PROJECT_ENVIRONMENT", "VIRTUAL_ENV", *SETTINGS}
GIT = {
    f"GIT_{role}_{part}": value
    for role in ("AUTHOR", "COMMITTER")
    for part, value in [("NAME", "Author"), ("EMAIL", "author@example.org")]
}

Finished = subprocess.CompletedProcess[str]


def execute(
    command: list[str | Path], folder: Path, *, typed: str = "", **variables: str
) -> Finished:
    """Run a command in the folder to its end, whatever that is, with what is typed meanwhile."""
    kept = {name: value for name, value in os.environ.items() if name not in NOT_OURS}
    return subprocess.run(
        command,
        cwd=folder,
        env=kept | GIT | variables,
        input=typed,
        capture_output=True,
        text=True,
        check=False,
    )


def succeed(*command: str | Path, folder: Path, **variables: str) -> str:
    """Run a command in the folder and return what it prints; it must succeed."""
    result = execute([*command], folder, **variables)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def commit(folder: Path, message: str = "A commit") -> None:
    """Commit all that is in the folder; it becomes a repository if it is none."""
    succeed("git", "init", "-q", "-b", "main", folder=folder)
    succeed("git", "add", "-A", folder=folder)
    succeed("git", "commit", "-q", "--no-gpg-sign", "-m", message, folder=folder)


def copy_template(folder: Path) -> Path:
    """Copy the repository as it is now into a new one, without what git ignores."""
    git = ["git", "-c", "safe.directory=*"]
    listed = execute([*git, "ls-files", "-z", "-co", "--exclude-standard"], ROOT)
    if listed.returncode:
        pytest.skip("not a git checkout")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    commit(folder)
    return folder


class Kitchen:
    """A folder in which services are made."""

    def __init__(self, folder: Path, tools: Path, *, own: Path) -> None:
        self.folder = folder
        self.tools = tools
        # Nothing of the user's own is read or written.
        self.config = own / "cookiecutter.yaml"
        self.config.write_text(
            f"cookiecutters_dir: '{own}/templates'\nreplay_dir: '{own}/replay'\n"
        )

    @staticmethod
    def equip(folder: Path) -> Path:
        """Install the tools and return the folder of their commands."""
        commands: tuple[list[str | Path], ...] = (
            ["uv", "venv", "-q", "--clear", folder],
            ["uv", "pip", "install", "-q", "-p", folder, "-r", REQUIREMENTS],
        )
        for command in commands:
            result = execute(command, ROOT)
            if result.returncode:
                missing(f"cookiecutter and cruft cannot be installed: {result.stderr}")
        return folder / "bin"

    def run(self, tool: str, *arguments: str | Path, typed: str = "") -> Finished:
        """Run a tool in the folder."""
        variables = {"COOKIECUTTER_CONFIG": str(self.config)}
        return execute([self.tools / tool, *arguments], self.folder, typed=typed, **variables)

    def succeed(self, tool: str, *arguments: str | Path) -> str:
        """Run a tool in the folder and return what it prints; it must succeed."""
        result = self.run(tool, *arguments)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def bake(self, template: Path | str, *options: str, **answers: str) -> Path:
        """Return the service that cookiecutter makes of the template."""
        given = [f"{name}={value}" for name, value in answers.items()]
        before = set(self.folder.iterdir())
        self.succeed("cookiecutter", "--no-input", *options, template, *given)
        [made] = {*self.folder.iterdir()} - before
        return made


def contents(folder: Path) -> dict[str, bytes]:
    """Return all files below the folder, but for what git and cruft keep."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".git" not in path.parts and path.name != ".cruft.json"
    }
