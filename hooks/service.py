"""Makes a service: the overlay, which was rendered before, and what it shares with the template."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from hooks.edits import edits

SHARED = (
    ".dockerignore",
    ".editorconfig",
    ".env.example",
    ".gitattributes",
    ".gitignore",
    ".pre-commit-config.yaml",
    "Dockerfile",
    "LICENSE",
    "Procfile",
    "SECURITY.md",
    "app",
    "compose.yaml",
    "migrations",
    "pyproject.toml",
    "tests/__init__.py",
    "tests/agents",
    "tests/checkout.py",
    "tests/polling.py",
    "tests/test_service.py",
    "tests/test_settings.py",
)
"""Files and folders that a service has as they are here, but for the answers."""
CI = {"github": (".github",), "gitlab": (".gitlab-ci.yml",), "none": ()}
"""Those that depend on where the service is tested."""

PROBE = "HOOKS-DID-NOT-RUN.txt"
SKIPPED = "skip\n"


class TemplateError(Exception):
    """The template contradicts itself; the message says where."""


def leave_probe(folder: Path) -> None:
    """Leave a file whose text shows later whether existing files are to be kept."""
    # Cookiecutter replaces it by the overlay's, except with --skip-if-file-exists.
    (folder / PROBE).write_text(SKIPPED)


def complete(folder: Path, source: Path, answers: Mapping[str, str]) -> None:
    """Write into the folder what the service shares with the template.

    Raises:
        TemplateError: an edit does not fit; nothing was written.
    """
    probe = folder / PROBE
    kept = probe.read_text() == SKIPPED
    probe.unlink()
    changes = edits(answers)
    files = {
        path: _edited((source / path).read_bytes().decode(), changes.get(path, {}), path)
        for path in shared(source, answers)
    }
    for path, text in files.items():
        target = folder / path
        if not (kept and target.exists()):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(text.encode())


def shared(source: Path, answers: Mapping[str, str]) -> Iterator[Path]:
    """Find the files that a service with these answers shares with the template."""
    for name in (*SHARED, *CI[answers["ci"]]):
        found = source / name
        for path in sorted(found.rglob("*")) if found.is_dir() else [found]:
            if not path.is_dir() and "__pycache__" not in path.parts:
                yield path.relative_to(source)


def _edited(text: str, changes: Mapping[str, str], path: Path) -> str:
    for old, new in changes.items():
        if f"\n{text}".count(f"\n{old}") != 1:
            msg = f"{path} does not have exactly once: {old}"
            raise TemplateError(msg)
        text = f"\n{text}".replace(f"\n{old}", f"\n{new}")[1:]
    return text
