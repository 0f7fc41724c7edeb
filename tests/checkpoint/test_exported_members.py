"""What the engine offers is what `__all__` says, no more and no less."""

from types import ModuleType
from typing import Literal, get_origin

from app import checkpoint


def test_all_is_sorted() -> None:
    """So that two who add a name do not collide, and each is found."""
    assert checkpoint.__all__ == sorted(checkpoint.__all__)


def test_nothing_else_is_public() -> None:
    """Modules aside: an import contract keeps the service out of them."""
    public = {
        name
        for name, value in vars(checkpoint).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert public == set(checkpoint.__all__)


def test_everything_public_says_what_it_promises() -> None:
    """In its own words, not in those of a parent; a literal says it by its values."""
    for name in checkpoint.__all__:
        value = getattr(checkpoint, name)
        if get_origin(value) is Literal:
            continue
        doc = vars(value).get("__doc__") or value.__doc__
        assert doc, name
        assert not doc.startswith(f"{name}("), f"{name} has only what a dataclass writes"
