"""What may be answered, and one sentence for all that may not."""

import re
from collections.abc import Mapping
from pathlib import Path

RESERVED = frozenset(Path(__file__).with_name("reserved.txt").read_text().split())
MAX_NAME = 100
MAX_SLUG = 50
MAX_DESCRIPTION = 200


def refusal(answers: Mapping[str, str]) -> str | None:
    """Return why no service can be made of these answers, and what to answer; None: it can."""
    checks = (_name, _slug, _description, _topic)
    return next((sentence for check in checks if (sentence := check(answers))), None)


def _name(answers: Mapping[str, str]) -> str | None:
    if _is_line(answers["project_name"], MAX_NAME):
        return None
    return f"project_name must be one line of at most {MAX_NAME} characters that can be seen."


def _slug(answers: Mapping[str, str]) -> str | None:
    slug = answers["project_slug"]
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", slug) or len(slug) > MAX_SLUG:
        return (
            f"project_slug must be at most {MAX_SLUG} of a-z, 0-9 and single '-' between them, and"
            " begin with a letter, such as my-service."
        )
    if slug in RESERVED:
        return f"project_slug cannot be {slug}: the service needs a package of that name."
    return None


def _description(answers: Mapping[str, str]) -> str | None:
    if _is_line(answers["description"], MAX_DESCRIPTION):
        return None
    return f"description must be one line of at most {MAX_DESCRIPTION} characters that can be seen."


def _topic(answers: Mapping[str, str]) -> str | None:
    topic = answers["source_topic"]
    if re.fullmatch(r"[A-Za-z0-9._-]{1,249}", topic) and topic not in {".", ".."}:
        return None
    return "source_topic must be a Kafka topic: 1 to 249 letters, digits, '.', '_' and '-'."


def _is_line(text: str, longest: int) -> bool:
    return text.isprintable() and bool(text.strip()) and len(text) <= longest
