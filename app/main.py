"""Builds the service: settings, checkpoint, Faust app, web views. The only place that wires."""

import gc
import logging
import pkgutil
from pathlib import Path
from typing import Any

import faust
import mode.loop

from app.checkpoint import Checkpoint, PruneSchedule
from app.settings import Settings
from app.web import Access, serve

AGENTS = Path(__file__).with_name("agents")

settings = Settings.load()

app = faust.App(
    settings.service_name,
    broker=settings.broker_url,
    store="memory://",
    # By name: in a package, Faust passes over a module that cannot be imported, agents and all.
    autodiscover=[
        "app.commands",
        *(f"app.agents.{module.name}" for module in pkgutil.iter_modules([str(AGENTS)])),
    ],
    topic_allow_declare=settings.topic_allow_declare,
    topic_disable_leader=True,
    web_bind=settings.web_host,
    web_host=settings.web_host,
    web_port=settings.web_port,
    # Faust's own views tell anybody who asks about topics, partitions and the contents of tables.
    web_router_enabled=False,
    web_tables_enabled=False,
    web_stats_enabled=False,
    web_graph_enabled=False,
    web_metrics_enabled=False,
)
app.producer_only = settings.web_only

checkpoint = Checkpoint(settings.database_url)
checkpoint.pruning = PruneSchedule(keep=settings.prune, every=settings.prune_interval)
checkpoint.install(app)

serve(
    app,
    checkpoint,
    tokens={
        token.digest: Access(name=token.name, full=token.full, topics=token.topics)
        for token in settings.api_tokens
    },
    masked_fields=settings.masked_fields,
)

for name in ("aiokafka", "faust", "mode"):
    logging.getLogger(name).setLevel(settings.framework_log_level)


@app.on_worker_init.connect
def use_uvloop(*_: Any, **__: Any) -> None:
    """Have Faust's commands run on uvloop; whoever merely imports the app keeps their loop."""
    mode.loop.use("uvloop")


@app.on_worker_init.connect
def keep_for_good(*_: Any, **__: Any) -> None:
    """Have the garbage collector pass over what was imported: else it takes a fifth of the time."""
    gc.collect()
    gc.freeze()
