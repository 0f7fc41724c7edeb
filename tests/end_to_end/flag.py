"""What a test tells the handlers of all workers while they run."""

from pathlib import Path


class Flag:
    """A file that is there or not: any process can set it, and it survives all of them.

    As a context it is set in its block.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        self.set()

    def __exit__(self, *_: object) -> None:
        self.clear()

    def __bool__(self) -> bool:
        return self._path.exists()

    def set(self) -> None:
        """Let it be true from now on."""
        self._path.touch()

    def clear(self) -> None:
        """Let it be false from now on."""
        self._path.unlink()
