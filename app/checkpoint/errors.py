"""Everything the checkpoint raises.

CheckpointError
├── ConfigurationError  (ValueError)  an option, agent or setting that cannot work
└── SchemaError                       the database lacks the tables, or has older ones
"""


class CheckpointError(Exception):
    """Anything the checkpoint refuses."""


class ConfigurationError(CheckpointError, ValueError):
    """An option, agent or setting that cannot work; the message says what to write instead."""


class SchemaError(CheckpointError):
    """The tables are missing or older than the code; the message names the command to run."""
