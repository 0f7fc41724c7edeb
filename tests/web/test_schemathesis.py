"""What a stranger makes up from the OpenAPI document finds nothing that it does not say."""

import asyncio
import sys
from pathlib import Path

import pytest

from app.web import Access
from tests.web.served import served

TOKEN = "f" * 32
NOT_CHECKED = (
    "use_after_free",  # a discarded failure can still be seen: it keeps its history
    "ignored_auth",  # wrong tokens are throttled with 429, which the check takes for an answer
)
ROWS = 20
"""Events, and as many failures, for what is found and acted on."""


async def test_strangers_find_nothing(postgresql_url: str, tmp_path: Path) -> None:
    """Examples, edges, random requests good and bad, and chains of them along the links."""
    await find_nothing(postgresql_url, tmp_path, examples=15)


@pytest.mark.full
@pytest.mark.timeout(900)
async def test_strangers_who_take_their_time_find_nothing(
    database_url: str, tmp_path: Path
) -> None:
    """On each kind of database in turn."""
    await find_nothing(database_url, tmp_path, examples=200)


async def find_nothing(database_url: str, folder: Path, *, examples: int) -> None:
    """Have Schemathesis ask a service whatever the document allows, and some that it does not."""
    tokens = {TOKEN: Access(name="anna", full=True)}
    # Whatever is sent as a payload can be handled: that a handler raises is no finding.
    async with served(database_url, tokens=tokens, decode=bytes) as service:
        writer = service.desk.writer("transactional")
        for n in range(ROWS):
            await service.desk.fail(b'{"n": %d}' % n, agent="transactional", offset=n, key=b"\xff")
            await writer.ack(writer.event(b"%d" % n, offset=n))
        process = await asyncio.create_subprocess_exec(
            Path(sys.executable).with_name("schemathesis"),
            "run",
            str(service.client.make_url("/v1/openapi.json")),
            f"--header=Authorization: Bearer {TOKEN}",
            f"--exclude-checks={','.join(NOT_CHECKED)}",
            f"--max-examples={examples}",
            "--seed=1",
            "--generation-database=none",
            "--continue-on-failure",
            "--no-color",
            cwd=folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        found, _ = await process.communicate()
        assert process.returncode == 0, found.decode()
