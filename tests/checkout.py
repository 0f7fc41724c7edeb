"""The service in a folder of its own, to be changed, littered and run as by its author."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SETTINGS = [
    line.partition("=")[0]
    for line in (ROOT / ".env.example").read_text().splitlines()
    if not line.startswith("#")
]


def checkout(folder: Path) -> Path:
    """Copy what a running service needs into the folder, and return it."""
    for name in ("app", "migrations"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def environment(**variables: str) -> dict[str, str]:
    """Return our environment with these settings of the service and no others."""
    kept = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    return kept | variables


def run(folder: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a Python module with its arguments in a checkout, to its end."""
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=environment(**variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
