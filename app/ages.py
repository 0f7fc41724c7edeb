"""How old something is, as people write it."""

import re
from datetime import timedelta

AGE = re.compile(r"([1-9][0-9]{0,3})([dh])")
UNITS = {"d": "days", "h": "hours"}


def age(text: str) -> timedelta | None:
    """Return how long a text like 90d or 12h says; None if it says nothing of the kind."""
    match = AGE.fullmatch(text)
    return timedelta(**{UNITS[match[2]]: int(match[1])}) if match else None
