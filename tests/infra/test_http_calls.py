"""Calls over HTTP: to hosts of the list and to no others, whatever a host answers."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from infra import http_calls
from infra.errors import InputError
from infra.settings import get_settings
from tasks.http_tools import http_get, http_post, is_usable
from tasks.tools import Approval


class _Host(HTTPServer):
    heard: list[tuple[str, dict[str, str], Any]]
    status, body, location = 200, b'{"a": 1}', ""


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Host]:
    """A host on loopback, which the list allows by its port."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            assert isinstance(self.server, _Host)
            length = int(self.headers.get("Content-Length") or 0)
            said = json.loads(self.rfile.read(length)) if length else None
            self.server.heard.append((self.command, dict(self.headers), said))
            self.send_response(self.server.status)
            if self.server.location:
                self.send_header("Location", self.server.location)
            self.send_header("Content-Length", str(len(self.server.body)))
            self.end_headers()
            self.wfile.write(self.server.body)

        def do_GET(self) -> None:
            self.answer()

        def do_POST(self) -> None:
            self.answer()

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    with _Host(("127.0.0.1", 0), Handler) as server:
        server.heard = []
        threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
        allow(monkeypatch, f"127.0.0.1:{server.server_address[1]}")
        yield server
        server.shutdown()


def allow(monkeypatch: pytest.MonkeyPatch, *hosts: str) -> None:
    monkeypatch.setenv("PATTERNS_HTTP_HOSTS", json.dumps(hosts))
    get_settings.cache_clear()


def url(server: _Host, path: str = "/x") -> str:
    return f"http://127.0.0.1:{server.server_address[1]}{path}"


async def test_a_host_of_the_list_is_read(host: _Host) -> None:
    found = await http_get.run(url=url(host))
    assert (found.status, found.text, found.value) == (200, '{"a": 1}', {"a": 1})
    host.body = b"no json"
    assert (await http_get.run(url=url(host))).value is None


async def test_what_is_sent_has_a_key_by_which_it_is_done_once(host: _Host) -> None:
    approved = Approval("call-1", "text", 1)
    await http_post.run(url=url(host), body={"to": "Ann"}, approval=approved)
    [(method, headers, said)] = host.heard
    assert (method, said) == ("POST", {"to": "Ann"})
    assert headers["Idempotency-Key"] == "call-1"


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("http://example.com/x", "host example.com is not one of those"),
        ("http://127.0.0.1:1/x", "is not one of those"),
        ("http://127.0.0.1.example.com/", "is not one of those"),
        ("file:///etc/passwd", "begins with http"),
        ("ftp://127.0.0.1/", "begins with http"),
        ("http://user:pass@127.0.0.1/", "names no user"),
        ("http://[::1", "no URL"),
        ("nonsense", "begins with http"),
    ],
)
async def test_other_hosts_are_not_spoken_to(host: _Host, address: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        await http_get.run(url=address)
    assert host.heard == []


async def test_a_redirect_leads_nowhere(host: _Host) -> None:
    host.status, host.location, host.body = 302, "http://example.com/", b"elsewhere"
    found = await http_get.run(url=url(host))
    assert (found.status, len(host.heard)) == (302, 1)


async def test_an_answer_that_is_none_or_too_large_is_refused(
    host: _Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.status, host.body = 500, b"broken"
    with pytest.raises(InputError, match="answers 500: broken"):
        await http_get.run(url=url(host))
    host.status, host.body = 200, b"x" * (http_calls.MOST_BYTES + 1)
    with pytest.raises(InputError, match="more than 500,000 bytes"):
        await http_get.run(url=url(host))
    allow(monkeypatch, "127.0.0.1")
    with pytest.raises(InputError, match="does not answer: ClientConnectorError"):
        await http_get.run(url="http://127.0.0.1:1/x")


def test_without_a_host_in_the_list_there_is_no_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_usable()
    allow(monkeypatch, "example.com")
    assert is_usable()
