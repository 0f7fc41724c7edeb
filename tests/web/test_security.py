"""Whoever is not known is not answered, and whoever may only read changes nothing."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.web import Access
from app.web.origins import is_loopback
from app.web.security import Door
from tests.web.serving import FULL, JSON, NARROW, READ, TOKENS, Served, bearer, serving

REFUSED = {
    "none": {},
    "empty": {"Authorization": ""},
    "scheme only": {"Authorization": "Bearer"},
    "no token": {"Authorization": "Bearer "},
    "wrong": bearer("w" * 40),
    "prefix": bearer(FULL[:-1]),
    "longer": bearer(FULL + "x"),
    "other case": bearer(FULL.upper()),
    "other scheme": {"Authorization": f"Basic {FULL}"},
    "no scheme": {"Authorization": FULL},
    "digest": bearer(sha256(FULL.encode()).hexdigest()),
    "not ASCII": bearer("é" * 40),
}


async def me(served: Served, *, method: str = "POST", **headers: str) -> int:
    """Return the status of a request without a token."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with served.client.request(method, "/v1/me", headers=named) as response:
        return response.status


@pytest.mark.parametrize("token", [FULL, READ, NARROW])
async def test_each_token_says_who_asks(token: str) -> None:
    """The views learn name, rights and topics of the token."""
    access = TOKENS[sha256(token.encode()).digest()]
    async with (
        serving(tokens=TOKENS) as served,
        served.client.get("/v1/me", headers=bearer(token)) as response,
    ):
        told = await response.json()
    assert (told["name"], told["full"]) == (access.name, access.full)
    assert told["topics"] == (["bills"] if token == NARROW else None)


@pytest.mark.parametrize("headers", REFUSED.values(), ids=REFUSED)
async def test_what_is_no_token_is_refused(headers: dict[str, str]) -> None:
    """Nearly right is wrong, and the answer says what to send."""
    async with (
        serving(tokens=TOKENS) as served,
        served.client.get("/v1/me", headers=headers) as response,
    ):
        assert response.status == 401
        assert response.headers["WWW-Authenticate"] == "Bearer"
        assert FULL not in await response.text()


async def test_two_tokens_at_once_are_none() -> None:
    """Nobody can tell which of them was meant."""
    async with serving(tokens=TOKENS) as served:
        headers = [("Authorization", f"Bearer {FULL}"), ("Authorization", f"Bearer {READ}")]
        async with served.client.get("/v1/me", headers=headers) as response:
            assert response.status == 401


async def test_a_token_is_needed_before_anything_is_said() -> None:
    """Whether there is such a path is not told to strangers; then it is."""
    async with serving(tokens=TOKENS) as served:
        async with served.client.get("/nowhere") as response:
            assert response.status == 401
        async with served.client.get("/nowhere", headers=bearer(READ)) as response:
            assert response.status == 404


@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT", "PATCH", "OPTIONS", "TRACE"])
async def test_a_token_to_read_changes_nothing(method: str) -> None:
    """It is refused whatever the path, also one that does not exist."""
    async with serving(tokens=TOKENS) as served:
        for path in ("/v1/me", "/nowhere"):
            async with served.client.request(method, path, headers=bearer(READ)) as response:
                assert response.status == 403


async def test_the_old_and_the_new_token_work_side_by_side() -> None:
    """A token can be replaced without a moment at which none is right."""
    tokens = {
        sha256(token.encode()).digest(): Access(name="ops", full=True) for token in ("old", "new")
    }
    async with serving(tokens=tokens) as served:
        for token in ("old", "new"):
            async with served.client.get("/v1/me", headers=bearer(token)) as response:
                assert response.status == 200


async def test_who_guesses_is_told_to_wait() -> None:
    """After ten wrong tokens there is no more 401, while a right token still opens."""
    async with serving(tokens=TOKENS) as served:
        statuses = []
        for _ in range(11):
            async with served.client.get("/v1/me", headers=bearer("w" * 40)) as response:
                statuses.append(response.status)
                wait = response.headers.get("Retry-After", "")
        assert statuses == [401] * 10 + [429]
        assert 0 < int(wait) <= 60
        async with served.client.get("/v1/me", headers=bearer(READ)) as response:
            assert response.status == 200


async def test_who_sends_no_token_is_no_guesser() -> None:
    """A browser or a probe that has none is told so each time."""
    async with serving(tokens=TOKENS) as served:
        assert {await me(served, method="GET") for _ in range(12)} == {401}


async def test_everybody_may_ask_whether_the_service_answers() -> None:
    """A health check has no token and comes from anywhere."""
    async with serving(tokens=TOKENS) as served:
        for method, status in (("GET", 200), ("HEAD", 200), ("POST", 401), ("OPTIONS", 401)):
            async with served.client.request(method, "/ping") as response:
                assert response.status == status


async def test_without_tokens_this_machine_may_do_anything() -> None:
    """Where nobody else can come from, nothing needs to be set up."""
    async with serving() as served, served.client.post("/v1/me", headers=JSON) as response:
        told = await response.json()
    assert (told["name"], told["full"], told["topics"]) == ("local", True, None)


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:6066"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "0.0.0.0"},  # noqa: S104 - it leads here, and is no name of ours
        {"Host": "[::1"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"Forwarded": "for=127.0.0.1"},
        {"Via": "1.1 proxy"},
        {"X-Real-IP": "127.0.0.1"},
    ],
    ids=str,
)
async def test_without_tokens_a_roundabout_way_is_refused(headers: dict[str, str]) -> None:
    """Neither a name that another site has pointed here, nor a proxy, is this machine."""
    async with serving() as served, served.client.get("/v1/me", headers=headers) as response:
        assert response.status == 403


@pytest.mark.parametrize("hosts", [[], ["localhost@evil.example"], ["evil.example", "localhost"]])
async def test_without_tokens_one_name_is_needed(hosts: list[str]) -> None:
    """None, a tricky one and two are none of this machine."""
    lines = "".join(f"Host: {host}\r\n" for host in hosts)
    async with serving() as served:
        answer = await served.ask(f"GET /v1/me HTTP/1.0\r\n{lines}\r\n".encode())
        assert answer.split()[1] in {b"400", b"403"}


@pytest.mark.parametrize("host", ["localhost", "localhost:80", "127.0.0.1", "[::1]:6066"])
async def test_without_tokens_each_name_of_this_machine_will_do(host: str) -> None:
    """A browser may have been sent to any of them."""
    async with serving() as served:
        assert await me(served, method="GET", Host=host) == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Content-Type": "application/json"},
        {"Origin": "null"},
        {"Origin": "https://evil.example"},
        {"Origin": "https://evil.example", "Content-Type": "application/json"},
        {"Origin": "http://127.0.0.1"},
        {},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "multipart/form-data; boundary=x"},
    ],
    ids=str,
)
async def test_a_page_of_another_site_changes_nothing(headers: dict[str, str]) -> None:
    """What a form or a script elsewhere can have a browser send here is refused."""
    async with (
        serving() as served,
        served.client.post("/v1/me", headers=headers, skip_auto_headers=["Content-Type"]) as answer,
    ):
        assert answer.status == 403


async def test_our_own_pages_and_programs_change_things() -> None:
    """A browser that vouches for it, our own origin, and a program that sends JSON are let in."""
    async with serving() as served:
        own = f"http://127.0.0.1:{served.port}"
        assert await me(served, Sec_Fetch_Site="same-origin") == 200
        assert await me(served, Sec_Fetch_Site="none") == 200
        assert await me(served, Origin=own) == 200
        assert await me(served, Content_Type="application/json") == 200
        assert await me(served, method="DELETE") == 200


async def test_a_token_is_no_page_of_another_site() -> None:
    """Nobody's browser adds a token by itself, so wherever the request comes from is right."""
    async with serving(tokens=TOKENS) as served:
        headers = bearer(FULL) | {"Origin": "https://console.example"}
        async with served.client.post("/v1/me", headers=headers) as response:
            assert response.status == 200
            assert not [name for name in response.headers if name.startswith("Access-Control")]


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("localhost", True),
        ("::ffff:10.0.0.1", False),
        ("0.0.0.0", False),  # noqa: S104 - the case
        ("::", False),
        ("10.0.0.1", False),
        ("", False),
        ("localhost.evil.example", False),
    ],
)
def test_what_is_this_machine(address: str, loopback: bool) -> None:  # noqa: FBT001 - of a table
    """Only addresses that no other machine can reach are."""
    assert is_loopback(address) is loopback


@given(st.text())
def test_no_other_text_is_a_token(text: str) -> None:
    """Whatever is sent, only the very tokens are known."""
    assert Door(TOKENS).is_token(text) is (text in {FULL, READ, NARROW})
