"""Refuses what no service can be made of; cookiecutter renders this file and then runs it."""

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

from hooks.answers import refusal  # noqa: E402 - found only now
from hooks.service import leave_probe  # noqa: E402 - the same

# Again: who answers through a replay file was not asked.
if sentence := refusal(ANSWERS):
    sys.exit(sentence)
leave_probe(Path.cwd())
