import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from infra.errors import WebhookError
from infra.webhook import post


class _Listener(HTTPServer):
    heard: list[Any]
    status = 204


@pytest.fixture
def listener() -> Iterator[_Listener]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert isinstance(self.server, _Listener)
            self.server.heard.append((self.headers["Content-Type"], json.loads(body)))
            self.send_response(self.server.status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    with _Listener(("127.0.0.1", 0), Handler) as server:
        server.heard = []
        threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
        yield server
        server.shutdown()


def url(server: _Listener) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}/hook?key=s3cret"


def test_a_message_arrives_as_json(listener: _Listener) -> None:
    post(url(listener), {"review": 1})
    assert listener.heard == [("application/json", {"review": 1})]


def test_a_refusal_and_silence_are_errors_that_do_not_tell_the_address(
    listener: _Listener,
) -> None:
    listener.status = 500
    with pytest.raises(WebhookError, match="answered 500") as refused:
        post(url(listener), {})
    with pytest.raises(WebhookError, match="cannot be reached") as silent:
        post("http://127.0.0.1:1/hook?key=s3cret", {})
    assert "s3cret" not in str(refused.value) + str(silent.value)


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://x/y", "nonsense"])
def test_nothing_but_http_is_an_address(address: str) -> None:
    with pytest.raises(WebhookError, match="no URL of the form"):
        post(address, {})
