"""How the answers get into files that have no placeholders: line by line, word for word."""

import json
from collections.abc import Mapping
from pathlib import Path

from hooks.databases import DATABASES, Edits


def edits(answers: Mapping[str, str]) -> Edits:
    """Return the lines that the answers decide, with what a service has in their place."""
    of_database = DATABASES[answers["database"]]
    of_names = _names(answers)
    return {
        path: {**of_names.get(path, {}), **of_database.get(path, {})}
        for path in of_names.keys() | of_database.keys()
    }


def _names(answers: Mapping[str, str]) -> Edits:
    slug, topic = answers["project_slug"], answers["source_topic"]
    # JSON's quotes are also TOML's, and a Dockerfile's but for what it takes for a variable.
    description = json.dumps(answers["description"], ensure_ascii=False)
    described = description.replace("$", r"\$")
    was = '"A Faust stream processing service that never loses an event."'
    label = "      org.opencontainers.image.description="
    title = "LABEL org.opencontainers.image.title="
    return {
        Path(".env.example"): {"SOURCE_TOPIC=orders\n": f"SOURCE_TOPIC={topic}\n"},
        # A service commits its lock file.
        Path(".gitignore"): {
            "# Made by uv, for this machine: it names the registry (docs/decisions/0001)\n"
            "uv.lock\n"
            "\n": ""
        },
        Path("Dockerfile"): {
            f'{title}"faust-service" \\\n': f'{title}"{slug}" \\\n',
            f"{label}{was} \\\n": f"{label}{described} \\\n",
        },
        Path("app/settings.py"): {
            'SERVICE_NAME = "faust-service"\n': f'SERVICE_NAME = "{slug}"\n',
            'SOURCE_TOPIC = "orders"\n': f'SOURCE_TOPIC = "{topic}"\n',
        },
        Path("compose.yaml"): {
            'name: "faust-service"\n': f'name: "{slug}"\n',
            '  image: "faust-service"\n': f'  image: "{slug}"\n',
        },
        Path("pyproject.toml"): {
            'name = "faust-service"\n': f'name = "{slug}"\n',
            f"description = {was}\n": f"description = {description}\n",
        },
    }
