"""A model endpoint that takes a fixed time: `python -m benchmarks.endpoint PORT SECONDS`.

It says how long each request really took it, so that a benchmark counts only what came on top:
``GET /took`` gives ``{mark: seconds}`` by the mark in the request, ``MARK-`` and digits.
"""

import asyncio
import json
import re
import sys
import time
from typing import Any

import uvicorn

_MARK = re.compile(rb"MARK-\d+")


class Endpoint:
    """An ASGI application. ``took``: seconds by mark; ``calls``: how many requests came."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.took: dict[str, float] = {}
        self.calls = 0

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        started = time.perf_counter()
        if scope["method"] == "GET":
            said: dict[str, Any] = {"took": self.took, "calls": self.calls}
            await _respond(send, said)
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        self.calls += 1
        await asyncio.sleep(self.seconds)
        await _respond(send, _completion(body))
        for mark in _MARK.findall(body)[-1:]:
            self.took[mark.decode()] = time.perf_counter() - started


def _completion(body: bytes) -> dict[str, Any]:
    """The fixed reply, or the first of the labels that are to be chosen among."""
    schema = json.loads(body).get("response_format", {}).get("json_schema", {}).get("schema", {})
    labels = schema.get("properties", {}).get("label", {}).get("enum")
    if not labels:
        return _COMPLETION
    message = {"role": "assistant", "content": json.dumps({"label": labels[0]})}
    return {**_COMPLETION, "choices": [{**_COMPLETION["choices"][0], "message": message}]}


_REPLY = {"category": "billing", "urgency": "high", "summary": "The customer wants a refund."}
_COMPLETION: dict[str, Any] = {
    "id": "chatcmpl-fixed",
    "object": "chat.completion",
    "created": 0,
    "model": "fixed",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": json.dumps(_REPLY)},
        }
    ],
    "usage": {"prompt_tokens": 150, "completion_tokens": 30, "total_tokens": 180},
}


async def _respond(send: Any, content: dict[str, Any]) -> None:
    data = json.dumps(content).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(data))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": data})


if __name__ == "__main__":
    endpoint = Endpoint(float(sys.argv[2]))
    uvicorn.run(endpoint, port=int(sys.argv[1]), log_level="warning", lifespan="off")
