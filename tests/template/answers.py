"""Answers that together try every two of them."""

import json

from tests.checkout import ROOT

QUESTIONS = json.loads((ROOT / "cookiecutter.json").read_text())

OTHER = {
    "project_name": "Parcel “tracker” {x}",
    "project_slug": "parcel-tracker",
    "description": "Tracks 'parcels', \"all\" of them: C:\\new $HOME #1 {x} 📦",
}
SAME: dict[str, str] = {}
PAIRS = [
    {"database": "postgresql", "ci": "github", "source_topic": "orders", **SAME},
    {"database": "postgresql", "ci": "gitlab", "source_topic": "Parcels.v1", **OTHER},
    {"database": "postgresql", "ci": "none", "source_topic": "orders", **OTHER},
    {"database": "sqlite", "ci": "github", "source_topic": "Parcels.v1", **OTHER},
    {"database": "sqlite", "ci": "gitlab", "source_topic": "orders", **SAME},
    {"database": "sqlite", "ci": "none", "source_topic": "Parcels.v1", **SAME},
    {"database": "mysql", "ci": "github", "source_topic": "orders", **OTHER},
    {"database": "mysql", "ci": "gitlab", "source_topic": "Parcels.v1", **SAME},
    {"database": "mysql", "ci": "none", "source_topic": "orders", **OTHER},
]
"""Answers of which any two meet."""


def name_of(answers: dict[str, str]) -> str:
    """Return what tells a case from the others."""
    name = answers.get("project_slug", "default")
    return "-".join([answers["database"], answers["ci"], answers["source_topic"], name])
