"""A scripted OpenAI-compatible endpoint on loopback: what most tests have behind the real door."""

import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

Body = dict[str, Any]


@dataclass(frozen=True)
class Fault:
    """An answer that is none: a status, a connection that is dropped, or blanks without an end."""

    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    message: str = "scripted fault"
    code: str | None = None
    dropped: bool = False
    endless: bool = False


@dataclass(frozen=True)
class Said:
    """A reply with its finish reason; ``content`` may be no JSON."""

    content: str
    finish: str = "stop"


@dataclass(frozen=True)
class Wants:
    """A turn that asks for tools, each by its name and arguments; arguments may be a text that is
    no JSON."""

    calls: tuple[tuple[str, dict[str, Any] | str], ...]

    @property
    def content(self) -> str:
        return json.dumps(self.calls)

    @property
    def finish(self) -> str:
        return "tool_calls"


Answer = str | Said | Wants | Fault


def user_text(body: Body) -> str:
    """What the last user message of a request says."""
    return str([m["content"] for m in body["messages"] if m["role"] == "user"][-1])


def schema_of(body: Body) -> dict[str, Any] | None:
    """The JSON schema that a request asks for, if it does."""
    wanted = body.get("response_format") or {}
    return wanted.get("json_schema", {}).get("schema")


def plausible(body: Body) -> str:
    """A reply that fits the schema, made of words of the request: no meaning, but never the same
    for other words. Free text without a schema."""
    words = [w for w in user_text(body).split() if w.isalpha()] or ["nothing"]
    schema = schema_of(body)
    if schema is None:
        return " ".join(words[:20])
    return json.dumps(_fill(schema, schema, words))


def _fill(schema: dict[str, Any], root: dict[str, Any], words: list[str]) -> Any:
    if "$ref" in schema:
        return _fill(root["$defs"][schema["$ref"].split("/")[-1]], root, words)
    if "enum" in schema:
        return schema["enum"][0]
    if "const" in schema:
        return schema["const"]
    match schema.get("type"):
        case "object":
            return {k: _fill(v, root, words) for k, v in schema["properties"].items()}
        case "array":
            return [_fill(schema["items"], root, words)]
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
    return " ".join(words)[: schema.get("maxLength", 60)].strip() or "nothing"


class ScriptedEndpoint:
    """Answers ``POST /v1/chat/completions`` as ``answer(body, n)`` says, n counting equal requests.

    ``calls``: bodies of all requests; ``answered``: of those that got a whole reply; ``headers``:
    of all requests.
    """

    def __init__(
        self,
        answer: Callable[[Body, int], Answer] = lambda body, n: plausible(body),
        latency: float = 0.0,
    ) -> None:
        self.answer, self.latency = answer, latency
        self.calls: list[Body] = []
        self.answered: list[Body] = []
        self.headers: list[dict[str, str]] = []
        self.most_at_once = 0
        self._now = 0
        self._closed = False
        self._seen: dict[str, int] = {}
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _handler(self))

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=[0.02], daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True  # a kept-alive connection must not answer for a later endpoint
        self._server.shutdown()
        self._server.server_close()

    def forget(self) -> None:
        """Be as new: no request was seen before."""
        self.calls.clear()
        self.answered.clear()
        self._seen.clear()

    def take(self, body: Body) -> Answer:
        if self._closed:
            return Fault(dropped=True)
        key = json.dumps(body, sort_keys=True)
        with self._lock:
            n = self._seen[key] = self._seen.get(key, 0) + 1
            self.calls.append(body)
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        try:
            time.sleep(self.latency)
            said = self.answer(body, n)
            if not isinstance(said, Fault):
                self.answered.append(body)
            return said
        finally:
            with self._lock:
                self._now -= 1


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


def _handler(endpoint: ScriptedEndpoint) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send(200, {"object": "list", "data": [{"id": "scripted", "object": "model"}]}, {})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            endpoint.headers.append(dict(self.headers))
            said = endpoint.take(body)
            match said:
                case Fault(dropped=True):
                    self.close_connection = True
                case Fault(endless=True):
                    self._dribble()
                case Fault():
                    error = {"message": said.message, "type": "scripted", "code": said.code}
                    self._send(said.status, {"error": error}, said.headers)
                case Said() | Wants():
                    self._send(200, _completion(body, said), {})
                case str():
                    self._send(200, _completion(body, Said(said)), {})

        def _dribble(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.close_connection = True
            with suppress(OSError):  # the client has hung up
                for _ in range(1000):
                    self.wfile.write(b" ")
                    time.sleep(0.02)

        def _send(self, status: int, content: Body, headers: dict[str, str]) -> None:
            data = json.dumps(content).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    return Handler


def _completion(body: Body, said: Said | Wants) -> Body:
    message: Body = {"role": "assistant", "content": said.content}
    if isinstance(said, Wants):
        calls = [
            {
                "id": f"call_{len(body['messages'])}_{number}",
                "type": "function",
                "function": {
                    "name": name,
                    "arguments": given if isinstance(given, str) else json.dumps(given),
                },
            }
            for number, (name, given) in enumerate(said.calls)
        ]
        message = {"role": "assistant", "content": None, "tool_calls": calls}
    asked = sum(len(str(m["content"])) for m in body["messages"]) // 4
    told = max(1, len(said.content) // 4)
    return {
        "id": "chatcmpl-scripted",
        "object": "chat.completion",
        "created": 0,
        "model": body["model"],
        "choices": [
            {
                "index": 0,
                "finish_reason": said.finish,
                "message": message,
            }
        ],
        "usage": {
            "prompt_tokens": asked,
            "completion_tokens": told,
            "total_tokens": asked + told,
        },
    }
