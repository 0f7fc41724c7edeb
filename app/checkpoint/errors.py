"""Everything the checkpoint raises.

CheckpointError
├── ConfigurationError  (ValueError)  an option, agent or setting that cannot work
├── SchemaError                       the database lacks the tables, or has older ones
├── NotFoundError       (LookupError) no event, failure or operation of that id
├── ConflictError                     it is not in a state in which this can be done
├── ReplayError                       the handler cannot be run again as asked
├── HandlerError                      the handler was run again, and raised
└── ProcessDiedError                  the process ended each time while it handled an event
"""


class CheckpointError(Exception):
    """Anything the checkpoint refuses."""


class ConfigurationError(CheckpointError, ValueError):
    """An option, agent or setting that cannot work; the message says what to write instead."""


class SchemaError(CheckpointError):
    """The tables are missing or older than the code; the message names the command to run."""


class NotFoundError(CheckpointError, LookupError):
    """No event, failure or operation of that id, or none that this actor may see."""


class ConflictError(CheckpointError):
    """It is not in a state in which this can be done."""

    def __init__(self, message: str, *, status: str) -> None:
        super().__init__(message)
        self.status = status
        """The state that it is in."""


class ReplayError(CheckpointError):
    """The handler cannot be run again as asked; the message says why."""


class HandlerError(CheckpointError):
    """The handler was run again, and raised; the message is the error's."""

    def __init__(self, message: str, *, error_class: str) -> None:
        super().__init__(message)
        self.error_class = error_class


class ProcessDiedError(CheckpointError):
    """The process ended each time while it handled this event alone; a failure row tells of it."""

    def __init__(self, starts: int) -> None:
        super().__init__(f"the process ended {starts} times while it handled this event")
        self.starts = starts
        """How often the event was begun."""
