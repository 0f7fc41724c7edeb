"""Completes the service with all that it shares with the template; rendered, then run."""

import json
import sys
from pathlib import Path

# Raw, and with lines of their own: no answer can end the text.
ANSWERS = json.loads(r"""
{{ cookiecutter | tojson }}
""")
SOURCE = json.loads(r"""
{{ source() | tojson }}
""")

sys.dont_write_bytecode = True
sys.path.insert(0, SOURCE)

from hooks.service import complete  # noqa: E402 - found only now

complete(Path.cwd(), Path(SOURCE), ANSWERS)
# Not under cruft, which takes what is printed here for a part of its diff.
if "_repo_dir" in ANSWERS:
    print(f"\nNext: cd {ANSWERS['__folder']} && uv run dev")  # noqa: T201 - to whoever asked for it
