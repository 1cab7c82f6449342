"""A receiver for Alertmanager's messages, of webhook_configs and of others that post JSON, which it keeps."""

from __future__ import annotations

import json
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


class Webhook:
    """Listens on a free loopback port from its making until `stop`; `url` is for `webhook_configs`."""

    def __init__(self) -> None:
        self._arrived = threading.Condition()
        self._messages: list[tuple[str, dict[str, Any]]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receive = self._receive

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receive(self.path, json.loads(body))
                self.send_response(HTTPStatus.OK)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that the base class gives it
                """Say nothing: the test looks at the messages."""

        return Handler

    def _receive(self, path: str, message: dict[str, Any]) -> None:
        with self._arrived:
            self._messages.append((path, message))
            self._arrived.notify_all()

    def messages(self, path: str | None = None) -> list[dict[str, Any]]:
        """Return the messages so far, oldest first, all or those sent to `path` (which tells receivers apart)."""
        with self._arrived:
            return [message for where, message in self._messages if path in (None, where)]

    def alerts(self, status: str = "firing", **labels: str) -> list[dict[str, Any]]:
        """Return each alert of each message so far that has this status ("firing", "resolved") and these labels."""
        return [
            alert
            for message in self.messages()
            for alert in message.get("alerts", ())
            if alert["status"] == status and labels.items() <= alert["labels"].items()
        ]

    def wait_for(self, status: str = "firing", timeout: float = 30.0, **labels: str) -> dict[str, Any]:
        """Return the first such alert once it has arrived; AssertionError after `timeout` seconds."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: self.alerts(status, **labels), timeout):
                raise AssertionError(f"no {status} alert with {labels} within {timeout:g} s; came: {self._messages}")
        return self.alerts(status, **labels)[0]

    def wait_for_message(self, path: str, timeout: float = 30.0) -> dict[str, Any]:
        """Return the first message to `path` once it has arrived; AssertionError after `timeout` seconds."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: self.messages(path), timeout):
                raise AssertionError(f"nothing came to {path} within {timeout:g} s; came: {self._messages}")
        return self.messages(path)[0]

    def stop(self) -> None:
        """Stop listening; what came stays readable."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
