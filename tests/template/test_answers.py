"""Bad answers are refused in one sentence and leave nothing; all others give a service that works.

Given on the command line, an answer is a default, which cookiecutter renders; typed, it is text.
"""

import json
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hooks.answers import refusal
from hooks.edits import edits
from tests.checkout import ROOT
from tests.template.kitchen import Kitchen, succeed

GOOD = {
    "project_name": "My service",
    "project_slug": "my-service",
    "description": "What it does.",
    "source_topic": "things",
    "database": "postgresql",
    "ci": "github",
}
LONG = "x" * 300
REFUSED = [
    ("project_name", ""),
    ("project_name", " "),
    ("project_name", "two\nlines"),
    ("project_name", "bell\a"),
    ("project_name", LONG),
    ("project_slug", ""),
    ("project_slug", "Orders"),
    ("project_slug", "my_service"),
    ("project_slug", "my--service"),
    ("project_slug", "-service"),
    ("project_slug", "service-"),
    ("project_slug", "1service"),
    ("project_slug", "two words"),
    ("project_slug", "sérvice"),
    ("project_slug", "service\n"),
    ("project_slug", LONG),
    ("project_slug", "../service"),
    ("project_slug", "a/b"),
    ("project_slug", "/tmp/service"),  # noqa: S108 - nothing is written there
    ("project_slug", ".."),
    ("project_slug", "app"),
    ("project_slug", "tests"),
    ("project_slug", "migrations"),
    ("project_slug", "aiokafka"),
    ("project_slug", "faust-streaming"),
    ("project_slug", "yarl"),
    ("description", ""),
    ("description", "two\nlines"),
    ("description", "nul\x1b"),
    ("description", LONG),
    ("source_topic", ""),
    ("source_topic", ".."),
    ("source_topic", "two words"),
    ("source_topic", "täg"),
    ("source_topic", 'a"b'),
    ("source_topic", "a\\b"),
    ("source_topic", LONG),
]
SHOWN = [("project_slug", "a/b"), ("project_slug", "../service"), ("description", "two\nlines")]
TYPED = [
    {"description": """quotes: 'one' "two" '''three''' \"""three\"""; and at the end: \""""},
    {"description": "backslashes: \\n \\x \\u0041 \\N{DASH} C:\\new; and at the end: \\"},
    {"description": "{{ braces }} {% if %} {# comment #} ${BRACES} $HOME $(id) `id`"},
    {"description": "# no comment; no: yaml - [list] & *alias !tag | 😀 ünï 日本"},
    {"project_name": "{{ cookiecutter }} \"class\" 'x' \\ 😀", "project_slug": "class"},
    {"project_name": "n" * 100, "project_slug": "x" * 50, "description": "é" * 200},
    {"project_slug": "true", "source_topic": "_.-"},
    {"project_slug": "asyncio", "source_topic": "t" * 249},
]
CODE = """
import json
from app.settings import Settings
settings = Settings.from_environment({})
print(json.dumps([settings.service_name, settings.source_topic]))
"""


@pytest.mark.parametrize(("question", "answer"), REFUSED)
def test_a_bad_answer_is_refused(question: str, answer: str) -> None:
    """One sentence names the question and says what to answer."""
    sentence = refusal({**GOOD, question: answer})
    assert sentence
    assert sentence.startswith(question)
    assert "\n" not in sentence


@given(answers=st.fixed_dictionaries(dict.fromkeys(GOOD, st.text())))
def test_any_text_is_an_answer_or_refused(answers: dict[str, str]) -> None:
    """What is not refused is the service's own, whatever quotes and braces it has."""
    refusal({**GOOD, **answers})
    described = {**GOOD, "description": answers["description"]}
    if refusal(described) is None:
        changes = edits(described)[Path("pyproject.toml")]
        project = tomllib.loads("".join(changes.values()))
        assert project["description"] == answers["description"]


@pytest.mark.parametrize(("question", "answer"), SHOWN)
def test_a_refusal_leaves_nothing(kitchen: Kitchen, question: str, answer: str) -> None:
    """The sentence is all there is: no folder, no half a service, no traceback."""
    before = {*kitchen.folder.parent.iterdir()}
    result = kitchen.run("cookiecutter", "--no-input", ROOT, f"{question}={answer}")
    assert result.returncode == 1
    [sentence] = (result.stdout + result.stderr).splitlines()
    assert sentence == refusal({**GOOD, question: answer})
    assert not list(kitchen.folder.iterdir())
    assert {*kitchen.folder.parent.iterdir()} == before


@pytest.mark.parametrize("answers", TYPED, ids=range(len(TYPED)))
def test_what_is_typed_arrives(kitchen: Kitchen, answers: dict[str, str]) -> None:
    """Whatever is typed and not refused is in the service as it was typed, and is valid there."""
    asked = ("project_name", "project_slug", "description", "source_topic", "database", "ci")
    typed = "".join(f"{answers.get(question, '')}\n" for question in asked)
    result = kitchen.run("cookiecutter", ROOT, typed=typed)
    assert result.returncode == 0, result.stdout + result.stderr
    [service] = kitchen.folder.iterdir()
    project = tomllib.loads((service / "pyproject.toml").read_text())["project"]
    name, topic = json.loads(succeed(sys.executable, "-c", CODE, folder=service))
    found = {"project_slug": name, "source_topic": topic, "description": project["description"]}
    title = (service / "README.md").read_text().splitlines()[0].removeprefix("# ")
    found["project_name"] = title
    assert {question: found[question] for question in answers} == answers
    assert project["name"] == service.name == name
