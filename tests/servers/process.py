"""Programs in a session of their own that cannot outlive whoever started them."""

import os
import pwd
import select
import subprocess
from collections.abc import Sequence
from pathlib import Path
from signal import Signals
from typing import TypedDict

# `read` returns when the other end of its pipe is closed, which the kernel does however we end:
# by SIGKILL and os._exit too, when neither atexit nor a fixture's teardown is run.
_GUARD = 'read -r _; kill -s "$1" "$2"'


class _Identity(TypedDict, total=False):
    user: int
    group: int
    extra_groups: Sequence[int]


class Process:
    """A program that appends its output to `log` and gets the signal `abort` when we die."""

    def __init__(
        self, command: Sequence[str], *, log: Path, account: str | None, abort: Signals
    ) -> None:
        # Whatever the program starts inherits `member`: `_family` ends with the last of them.
        self._family, member = os.pipe()
        try:
            with log.open("ab") as output:
                self._program = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=log.parent,
                    start_new_session=True,
                    pass_fds=(member,),
                    **_identity(account),
                )
        finally:
            os.close(member)
        self._guard = subprocess.Popen(
            ["sh", "-c", _GUARD, "guard", abort.name.removeprefix("SIG"), str(self.pid)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """The program's process id."""
        return self._program.pid

    @property
    def running(self) -> bool:
        """Whether the program has not ended yet."""
        return self._program.poll() is None

    def end(self, signal: Signals, *, limit: float) -> int:
        """Return the exit status once the program and all that it started are gone.

        Raises:
            TimeoutError: that took more than `limit` seconds.
        """
        self._program.send_signal(signal)
        try:
            status = self._program.wait(limit)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(str(error)) from error
        poll = select.poll()
        poll.register(self._family)
        if not poll.poll(limit * 1000):
            message = f"what process {self.pid} started has not ended with it"
            raise TimeoutError(message)
        self._release()
        return status

    def _release(self) -> None:
        # Killed before its pipe is closed: by now the pid that it would signal may be a stranger's.
        self._guard.kill()
        self._guard.communicate()
        os.close(self._family)


def run(command: Sequence[str], *, folder: Path, account: str | None = None) -> None:
    """Run the command to its end in `folder`; if it fails, ChildProcessError with its output."""
    result = subprocess.run(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
        **_identity(account),
    )
    if result.returncode:
        message = f"{command[0]} ended with status {result.returncode}:\n{result.stdout[-4000:]}"
        raise ChildProcessError(message)


def _identity(account: str | None) -> _Identity:
    if account is None:
        return {}
    entry = pwd.getpwnam(account)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": ()}
