"""A model endpoint with 64 slots and a heavy tail: `python -m benchmarks.heavy_tail PORT`.

    seconds of a call = (0.5 + 0.0001 × tokens in + 0.006 × tokens out) × lognormal(0, 0.5)

It speaks OpenAI's chat completions, with JSON schemas and tools. Text and latency of a reply are
functions of the seed, of what is asked and of how often it was asked before: whoever asks the same
meets the same service. What comes beyond the slots waits. ``POST /reset`` with
``{"seed": 1, "scale": 1.0}`` forgets all calls; ``GET /`` says how many came, ``GET /log`` when
each came, began and ended (Unix time), with the hash of its prompt and its tokens.
"""

import asyncio
import hashlib
import json
import sys
import time
from random import Random
from typing import Any, NamedTuple

from aiohttp import web

from benchmarks.extracts import extract, filled, tokens

SLOTS = 64
CONTEXT = 8192


class Answer(NamedTuple):
    """A reply, before anybody has waited for it."""

    message: dict[str, Any]
    digest: str
    tokens_in: int
    tokens_out: int


class Called(NamedTuple):
    """A call that was answered; times are Unix times."""

    came: float
    began: float
    ended: float
    digest: str
    tokens_in: int
    tokens_out: int


def answer(body: dict[str, Any]) -> Answer:
    """What the model says to a request. Raises ValueError for one that is longer than it reads."""
    prompt = "\n".join(_text(message["content"]) for message in body["messages"])
    most = int(body.get("max_completion_tokens") or body.get("max_tokens") or 1000)
    if tokens(prompt) + most > CONTEXT:
        raise ValueError(f"maximum context length is {CONTEXT} tokens")
    digest = hashlib.sha256(prompt.encode()).hexdigest()[:24]
    chance = Random(digest)
    schema = body.get("response_format", {}).get("json_schema", {}).get("schema")
    message: dict[str, Any] = {"role": "assistant", "content": None}
    if tools := body.get("tools"):
        function = tools[0]["function"]
        said = json.dumps(filled(function["parameters"], prompt, most, chance))
        call = {"name": function["name"], "arguments": said}
        message["tool_calls"] = [{"id": f"call_{digest}", "type": "function", "function": call}]
    else:
        said = json.dumps(filled(schema, prompt, most, chance)) if schema else ""
        said = message["content"] = said or extract(prompt, most, chance)
    return Answer(message, digest, tokens(prompt), tokens(said))


def seconds(seed: int, said: Answer, attempt: int) -> float:
    """How long the reply takes."""
    mean = 0.5 + 0.0001 * said.tokens_in + 0.006 * said.tokens_out
    return mean * Random(f"{seed} {said.digest} {attempt}").lognormvariate(0, 0.5)


class Endpoint:
    """The server's state."""

    def __init__(self) -> None:
        self.slots = asyncio.Semaphore(SLOTS)
        self.reset()

    def reset(self, seed: int = 1, scale: float = 1.0) -> None:
        self.seed, self.scale = seed, scale
        self.asked: dict[str, int] = {}
        self.log: list[Called] = []

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/reset":
            self.reset(**json.loads(await request.read() or b"{}"))
        if request.path.endswith("/chat/completions"):
            return await self._complete(json.loads(await request.read()))
        return web.json_response(
            {"calls": self.log} if request.path == "/log" else {"calls": sum(self.asked.values())}
        )

    async def _complete(self, body: dict[str, Any]) -> web.Response:
        came = time.time()
        try:
            said = answer(body)
        except ValueError as error:
            refusal = {"message": str(error), "code": "context_length_exceeded"}
            return web.json_response({"error": refusal}, status=400)
        attempt = self.asked.get(said.digest, 0)
        self.asked[said.digest] = attempt + 1
        log = self.log
        async with self.slots:
            began = time.time()
            await asyncio.sleep(self.scale * seconds(self.seed, said, attempt))
        log.append(Called(came, began, time.time(), *said[1:]))
        finish = "tool_calls" if "tool_calls" in said.message else "stop"
        return web.json_response(
            {
                "id": f"chatcmpl-{said.digest}",
                "object": "chat.completion",
                "created": int(came),
                "model": body.get("model", "simulated"),
                "choices": [{"index": 0, "finish_reason": finish, "message": said.message}],
                "usage": {
                    "prompt_tokens": said.tokens_in,
                    "completion_tokens": said.tokens_out,
                    "total_tokens": said.tokens_in + said.tokens_out,
                },
            }
        )


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text", "") for part in content or ())


async def _serve(port: int) -> None:
    runner = web.ServerRunner(web.Server(Endpoint().handle, keepalive_timeout=300))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=4096).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    import uvloop

    uvloop.run(_serve(int(sys.argv[1])))
