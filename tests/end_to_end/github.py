"""GitHub's examples of the webhooks that it sends, fetched once by npm into a cache folder."""

import json
import shutil
import tarfile
import tempfile
from pathlib import Path

from tests.servers import ServerUnavailableError
from tests.servers.machine import find_program
from tests.servers.process import run

VERSION = "7.6.1"
_CACHE = Path(__file__).parents[2] / ".cache" / f"webhooks-examples-{VERSION}"
_MEMBER = "package/api.github.com/index.json"


def webhooks() -> dict[str, list[bytes]]:
    """Return the distinct payloads by the event's name, each in the spellings that senders use."""
    found: dict[str, list[bytes]] = {}
    seen: set[bytes] = set()
    for event in json.loads(_examples().read_bytes()):
        for example in event["examples"]:
            for spelling in _spellings(example):
                if spelling not in seen:
                    seen.add(spelling)
                    found.setdefault(event["name"], []).append(spelling)
    return found


def _spellings(example: object) -> list[bytes]:
    """Return JSON as GitHub sends it, as Python's and as a person would write it."""
    return [
        json.dumps(example, ensure_ascii=False, separators=(",", ":")).encode(),
        json.dumps(example).encode(),
        json.dumps(example, ensure_ascii=False, indent="\t").encode(),
    ]


def _examples() -> Path:
    examples = _CACHE / "index.json"
    if not examples.exists():
        _fetch(examples)
    return examples


def _fetch(examples: Path) -> None:
    npm = find_program("npm")
    examples.parent.mkdir(parents=True, exist_ok=True)
    # Renamed when complete: an interrupted fetch leaves nothing that looks like all of it.
    incoming = Path(tempfile.mkdtemp(prefix="incoming-", dir=examples.parent))
    try:
        run([str(npm), "pack", f"@octokit/webhooks-examples@{VERSION}"], folder=incoming)
        [package] = incoming.glob("*.tgz")
        with tarfile.open(package) as archive:
            archive.extract(_MEMBER, incoming, filter="data")
        (incoming / _MEMBER).rename(examples)
    except ChildProcessError as error:
        message = f"GitHub's webhook examples {VERSION} cannot be fetched: {error}"
        raise ServerUnavailableError(message) from error
    finally:
        shutil.rmtree(incoming)
