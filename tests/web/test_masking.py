"""No masked value is shown, and everything else is shown as it is."""

import json
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app.web.masking import CUT, HIDDEN, Mask

ORDER = (
    '{"z": 1.0, "a": 123456789012345678901234567890123456789012345678901234567890,'
    ' "e": 1e400, "n": -0.0, "Email": "ann@example.com",'
    ' "customer": {"card": {"number": 4111222233334444, "holder": "Ann"}},'
    ' "items": [{"email": "bob@example.com", "pin": 12}, {"pin": "0042"}]}'
)
NAMES = st.sampled_from(["email", "EMAIL", "card", "number", "name", "items", "\u017f", ""])
SECRET = st.one_of(
    st.text(min_size=1, max_size=20),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), SECRET),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(NAMES, inner, max_size=4)),
    max_leaves=20,
)


def masked(text: str, *fields: str) -> Any:
    """Return what is left of a payload."""
    return json.loads(Mask(fields).payload(text))


@pytest.mark.parametrize("text", [ORDER, " [1, 2] ", "not JSON", ""])
def test_nothing_is_touched_where_nothing_is_masked(text: str) -> None:
    """A service without masked fields shows exactly what it stored."""
    mask = Mask()
    assert not mask
    assert mask.payload(text) is text
    assert mask.text(text, secrets_of=text) == text


def test_a_name_is_hidden_wherever_it_is() -> None:
    """At any depth, in any case of letters, and whatever it holds."""
    told = masked(ORDER, "email", "CARD")
    assert told["Email"] == told["items"][0]["email"] == told["customer"]["card"] == HIDDEN
    assert told["items"][0]["pin"] == 12


@pytest.mark.parametrize(
    ("path", "hidden"),
    [
        ("customer.card.number", 1),
        ("Customer.Card", 1),
        ("customer.*.number", 1),
        ("*.*.number", 1),
        ("items.*.pin", 2),
        ("items.pin", 2),
        ("items.*", 2),
        ("card.number", 0),
        ("customer.card.number.more", 0),
        ("items.*.*.pin", 0),
    ],
)
def test_a_path_is_hidden_from_the_root_on(path: str, hidden: int) -> None:
    """Only where it leads; the elements of an array need no name."""
    assert Mask([path]).payload(ORDER).count(HIDDEN) == hidden


def test_what_is_shown_keeps_its_order_and_its_numbers() -> None:
    """Neither digits nor the point of 1.0 are lost."""
    shown = Mask(["email", "customer", "items"]).payload(ORDER)
    assert shown == (
        '{"z":1.0,"a":123456789012345678901234567890123456789012345678901234567890,'
        '"e":1e400,"n":-0.0,"Email":"***","customer":"***","items":"***"}'
    )


@pytest.mark.parametrize(
    "text", ["[" * 10_000, '{"a":' * 2_000 + "1" + "}" * 2_000, "", "{", "NaN", r'"\ud800"']
)
def test_what_cannot_be_read_is_hidden_as_a_whole(text: str) -> None:
    """Where nobody can say what is a masked field, everything is one, also in an error's text."""
    mask = Mask(["email"])
    assert mask.payload(text) == f'"{HIDDEN}"'
    assert mask.text("ann@example.com", secrets_of=text) == HIDDEN


def test_an_error_does_not_repeat_what_is_masked() -> None:
    """However it is written down, the rest of the sentence stays."""
    mask = Mask(["email", "customer.card", "pin"])
    text = "no 4111222233334444 of 'Ann' <ann@example.com>, pin 12 in 3124"
    shown = mask.text(text, secrets_of=ORDER)
    assert shown == "no *** of '***' <***>, pin *** in 3124"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b'{"email": "ann@b.cd"}', "no ***, no bob@b.cd"),
        (b'{"email": "other@b.cd"}', "no ann@b.cd, no bob@b.cd"),
        (b"\xff", HIDDEN),
        (None, "no ann@b.cd, no bob@b.cd"),
    ],
    ids=["repeated", "not repeated", "unreadable", "none"],
)
def test_an_error_is_about_the_value_of_its_event(value: bytes | None, shown: str) -> None:
    """Where nobody can say what is in it, nothing of the error is told."""
    assert Mask(["email"]).error("no ann@b.cd, no bob@b.cd", value) == shown


def test_a_secret_within_another_leaves_no_rest() -> None:
    """The longest is looked for first."""
    payload = orjson.dumps({"email": ["ann@", "ann@example.com", "example"]}).decode()
    assert Mask(["email"]).text("to ann@example.com", secrets_of=payload) == f"to {HIDDEN}"


def test_an_error_repeats_nothing_in_another_spelling() -> None:
    """As Python, JSON and a float would write it."""
    payload = json.dumps({"a": 'say "ä"\n', "b": 1})[:-2] + "1.50}"
    value, secrets = json.loads(payload), Mask(["a", "b"])
    for text in (value["a"], repr(value["a"]), json.dumps(value["a"]), str(value["b"])):
        shown = secrets.text(f"bad: {text}", secrets_of=payload)
        assert HIDDEN in shown
        assert text.strip("'\"") not in shown


def test_a_name_in_an_error_hides_what_follows() -> None:
    """Also where the payload is not known, as in the log."""
    mask = Mask(["email", "customer.card"])
    for text in (
        "email=a@b.cd ok",
        'Email: "a@b.cd" ok',
        "{'email': 'a@b.cd'} ok",
        "card = a@b.cd",
    ):
        assert "a@b.cd" not in mask.text(text)
    assert mask.text("emails=3, mail=4") == "emails=3, mail=4"


@pytest.mark.parametrize(
    "text",
    [
        "cannot connect to postgresql://me:s3cret@host/name",
        "mysql+asyncmy://me:s3cret@s3cret@host",
        "Authorization: Bearer s3cret",
        "host=db password=s3cret user=me",
        "{'password': 's3cret'}",
        "PASSWD=s3cret",
        'the server refused {"pwd": "s3cret"}',
    ],
)
def test_credentials_are_hidden_in_any_case(text: str) -> None:
    """No service wants to show them, whatever it masks."""
    assert "s3cret" not in Mask().text(text)


def test_half_a_secret_at_the_end_of_a_long_text_is_hidden() -> None:
    """A text may have been cut in the middle of one when it was stored."""
    payload = orjson.dumps({"email": "ann@example.com"}).decode()
    text = "x" * CUT + " ann@exam"
    assert Mask(["email"]).text(text, secrets_of=payload).endswith(f"x {HIDDEN}")


def test_more_secrets_than_can_be_looked_for_hide_the_text() -> None:
    """A payload full of them does not make an error slow to show."""
    payload = orjson.dumps({"email": list(range(10_000))}).decode()
    assert Mask(["email"]).text("number 77", secrets_of=payload) == HIDDEN


def test_headers_are_hidden_by_their_names() -> None:
    """Whatever their values are; others stay."""
    headers: list[list[Any]] = [["Email", "a@b.cd"], ["email", {"base64": "AA=="}], ["trace", None]]
    shown = Mask(["email", "a.trace"]).pairs(headers)
    assert shown == [["Email", HIDDEN], ["email", HIDDEN], ["trace", None]]


@given(VALUES)
def test_no_masked_value_survives(value: Any) -> None:
    """Whatever the document is, below a masked name there is nothing but that it is hidden."""
    told = masked(json.dumps(value), "email", "\u017f")
    assert all(one == HIDDEN for name, one in members(told) if name.casefold() in {"email", "s"})
    assert masked(json.dumps(told), "email", "\u017f") == told


@given(st.dictionaries(st.sampled_from(["a", "b"]), VALUES), SECRET)
def test_nothing_but_masked_values_is_changed(document: dict[str, Any], secret: Any) -> None:
    """What is not masked is the same afterwards."""
    told = masked(json.dumps(document | {"x": secret}), "x", "a.b.c.d.e.f")
    assert told == json.loads(json.dumps(document | {"x": HIDDEN}))


@given(secret=SECRET, around=st.text(max_size=20), form=st.sampled_from([str, repr, json.dumps]))
def test_no_secret_is_repeated(secret: Any, around: str, form: Any) -> None:
    """Wherever an error says it as a word, it is not there any more."""
    text = form(secret)
    word = text.strip("'\"")
    assume(word.strip() and word not in HIDDEN and word not in around)
    shown = Mask(["x"]).text(f"{around} {text} ", secrets_of=json.dumps({"x": secret}))
    assert word not in shown.replace(HIDDEN, "").removeprefix(around)


def members(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield each name with what it holds, at any depth."""
    if isinstance(value, list):
        value = dict(enumerate(value))
    if isinstance(value, dict):
        for name, one in value.items():
            yield str(name), one
            yield from members(one)
