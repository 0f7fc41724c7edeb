import os
from dataclasses import dataclass
@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    service_name: str; source_topic: str; broker_url: str; database_url: str; web_host: str; web_port: int; topic_allow_declare: bool
    @classmethod
    def from_environment(cls, environ=os.environ):
        return cls(service_name="faust-service", source_topic=environ.get("SOURCE_TOPIC","orders"), broker_url=environ.get("BROKER_URL","kafka://localhost:9092"), database_url=environ.get("DATABASE_URL","sqlite:///service.db"), web_host=environ.get("WEB_HOST","127.0.0.1"), web_port=int(environ.get("WEB_PORT","6066")), topic_allow_declare=environ.get("TOPIC_ALLOW_DECLARE","true")=="true")
