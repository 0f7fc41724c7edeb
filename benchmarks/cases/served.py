"""The checkpointed agent in a worker that also serves the API, to this machine only."""

from app.web import serve
from benchmarks.cases.checkpoint import app, checkpoint

serve(app, checkpoint, tokens={})
