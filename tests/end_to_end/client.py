"""Asks a worker over HTTP as a program does, one connection for each request."""

import json
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPMessage
from typing import Any

TIMEOUT = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a request is answered with."""

    status: int
    headers: HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        """The JSON value in the body, which must call itself JSON."""
        assert self.headers["Content-Type"] == "application/json", self
        return json.loads(self.body)


class Client:
    """Asks the worker on a port of this machine, with a token if there is one."""

    def __init__(self, port: int, *, token: str | None = None) -> None:
        self.port = port
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Send a request, with a JSON body if there is one, and return its answer."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection = HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        try:
            if body is not None:
                named["Content-Type"] = "application/json"
            connection.request(
                method,
                path,
                None if body is None else json.dumps(body),
                self._headers | named,
            )
            response = connection.getresponse()
            return Answer(status=response.status, headers=response.headers, body=response.read())
        finally:
            connection.close()

    def get(self, path: str, *, status: int = 200) -> Any:
        """Return the JSON that a path is answered with."""
        return self._told("GET", path, None, status)

    def post(self, path: str, body: Any = None, *, status: int = 200) -> Any:
        """Return the JSON that an act is answered with."""
        return self._told("POST", path, body, status)

    def delete(self, path: str, *, status: int = 200) -> Any:
        """Return the JSON that the end of something is answered with."""
        return self._told("DELETE", path, None, status)

    def _told(self, method: str, path: str, body: Any, status: int) -> Any:
        answer = self.ask(method, path, body)
        assert answer.status == status, answer.body
        return answer.json
