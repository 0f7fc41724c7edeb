"""What the texts of the template may ask beyond the answers; cookiecutter and cruft load it."""

import os
from collections.abc import Mapping

# Parts of cookiecutter, which makes services and is no dependency of theirs.
from cookiecutter.exceptions import FailedHookException  # type: ignore[import-not-found]
from jinja2 import Environment  # type: ignore[import-not-found]
from jinja2.ext import Extension  # type: ignore[import-not-found]

from hooks.answers import refusal


class Template(Extension):  # type: ignore[misc]
    """Offers `source()`, the template's folder, to hooks, and `folder(answers)` to its name."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        # Hooks are rendered there; no variable has it under cruft, or as an absolute path.
        environment.globals["source"] = os.getcwd
        environment.globals["folder"] = folder


def folder(answers: Mapping[str, str]) -> str:
    """Return the name of the service's folder, before there is one.

    Raises:
        FailedHookException: no service can be made; unlike a hook's, it is shown as its sentence.
    """
    if sentence := refusal(answers):
        raise FailedHookException(sentence)
    return answers["project_slug"]
