"""Nothing is skipped where CI is set."""

import pytest

from tests.availability import missing


def test_missing_skips_on_a_developers_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer without the program loses that test only."""
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="initdb is not installed"):
        missing("initdb is not installed")


def test_missing_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that must have everything does not hide what it lacks."""
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="initdb is not installed"):
        missing("initdb is not installed")
