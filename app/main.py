"""Builds the service: settings, checkpoint, Faust app. The only place that wires."""

import faust

from app.checkpoint import Checkpoint
from app.settings import Settings

settings = Settings.from_environment()

app = faust.App(
    settings.service_name,
    broker=settings.broker_url,
    store="memory://",
    autodiscover=["app.agents"],
    topic_allow_declare=settings.topic_allow_declare,
    topic_disable_leader=True,
    web_bind=settings.web_host,
    web_host=settings.web_host,
    web_port=settings.web_port,
)

checkpoint = Checkpoint(settings.database_url)
checkpoint.install(app)
