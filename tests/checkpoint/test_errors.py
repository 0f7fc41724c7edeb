"""One root for all that the checkpoint refuses, and a drawing of the tree that is true."""

import inspect
import re

from app.checkpoint import CheckpointError, ConfigurationError, SchemaError, errors


def test_everything_the_checkpoint_raises_has_one_root() -> None:
    """A service can catch all of it, and a wrong setting as the ValueError that it is."""
    assert issubclass(ConfigurationError, CheckpointError)
    assert issubclass(ConfigurationError, ValueError)
    assert issubclass(SchemaError, CheckpointError)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    """Every class of the module, and no other."""
    classes = {name for name, _ in inspect.getmembers(errors, inspect.isclass)}
    assert set(re.findall(r"\w+Error\b(?!\))", errors.__doc__ or "")) - {"ValueError"} == classes
