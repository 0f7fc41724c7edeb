"""What `faust -A app prune` takes, and one sentence for all that it does not."""

from datetime import timedelta
from pathlib import Path

import pytest

from app.ages import age
from app.commands import prune_refusal
from tests.checkout import ROOT, run

PRUNE = ("faust", "-A", "app", "prune")


def test_an_age_is_days_or_hours() -> None:
    """Anything else is none."""
    assert age("90d") == timedelta(days=90)
    assert age("12h") == timedelta(hours=12)
    for text in ("", "0d", "-1d", "90", "d", "1.5d", "90 d", "90D", "1m", "99999d", "٣d", "1d\n"):
        assert age(text) is None, text


def test_no_age_at_all_is_refused() -> None:
    """Whoever gives none reads what to give."""
    sentence = prune_refusal({}) or ""
    assert sentence.startswith("Nothing is deleted: say what")
    assert "--events 90d" in sentence


def test_what_is_no_age_is_refused() -> None:
    """The sentence shows it, and what to write instead."""
    sentence = prune_refusal({"audit": "365d", "events": "3 months"})
    assert sentence == "--events 3 months cannot be used: write days or hours, as 90d or 12h"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--dry-run",),
        pytest.param(("--events", "90"), marks=pytest.mark.full),
    ],
)
def test_a_refusal_is_one_sentence(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """And the database is not even opened."""
    database = tmp_path / "service.db"
    result = run(ROOT, *PRUNE, *arguments, DATABASE_URL=f"sqlite:///{database}")
    assert (result.returncode, result.stdout) == (1, "")
    assert len(result.stderr.splitlines()) == 1
    assert not database.exists()


@pytest.mark.full
def test_a_database_that_is_away_is_one_sentence() -> None:
    """It can be run again when it is back."""
    result = run(ROOT, *PRUNE, "--events", "90d", DATABASE_URL="postgresql://127.0.0.1:1/none")
    assert result.returncode == 1
    [sentence] = result.stderr.splitlines()
    assert sentence.startswith("It ends here: ")
