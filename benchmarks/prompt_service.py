"""What the prompt service adds to a model call: `python -m benchmarks.prompt_service`.

    100 clients in a closed loop → `patterns serve` → an endpoint that takes 1.0 s

Every question is another one, so each is a call to the model. Overhead is what the client waited
minus what the endpoint itself took for that request. Beside it, in the same run: the endpoint
without anything between, and LiteLLM's proxy where ``--litellm`` names its command.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import aiohttp
import numpy as np

from benchmarks.servers import free_port, running

TOKEN = "benchmark-token"
CHAT = "/v1/chat/completions"


async def load(
    url: str, body: Mapping[str, object], clients: int, seconds: float, first: int
) -> dict[str, float]:
    """Seconds that each request took, by its mark; clients come in one after another over a second.

    ``body``: of a request, in which ``MARK`` stands for the request's own mark.
    """
    waited: dict[str, float] = {}
    template, marks = json.dumps(body), iter(range(first, first + 1_000_000))
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        end = time.perf_counter() + seconds

        async def client(turn: int) -> None:
            await asyncio.sleep(turn / clients)
            while (started := time.perf_counter()) < end:
                mark = f"MARK-{next(marks)}"
                async with session.post(url, data=template.replace("MARK", mark)) as response:
                    said = await response.read()
                    if response.status != 200:
                        raise SystemExit(f"{url} answered {response.status}: {said.decode()}")
                waited[mark] = time.perf_counter() - started

        await asyncio.gather(*map(client, range(clients)))
    return waited


async def _took(endpoint: str) -> dict[str, float]:
    async with aiohttp.ClientSession() as session, session.get(f"{endpoint}/took") as response:
        took: dict[str, float] = (await response.json())["took"]
        return took


def overhead(waited: Mapping[str, float], took: Mapping[str, float]) -> dict[str, float]:
    """What came on top of the endpoint's own time, in ms: percentiles, requests."""
    extra = [1000 * (seconds - took[mark]) for mark, seconds in waited.items()]
    p50, p95, p99 = np.percentile(extra, [50, 95, 99])
    return {"requests": len(extra), "p50_ms": p50, "p95_ms": p95, "p99_ms": p99}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=30.0, help="of each round")
    parser.add_argument("--latency", type=float, default=1.0, help="of the endpoint, in seconds")
    parser.add_argument("--litellm", help="LiteLLM's proxy command, to run beside")
    options = parser.parse_args()
    for name in [name for name in os.environ if name.startswith("PATTERNS_")]:
        if name != "PATTERNS_ASSETS":
            del os.environ[name]
    ports = [free_port() for _ in range(3)]
    endpoint, ours, theirs = (f"http://127.0.0.1:{port}" for port in ports)
    ticket = "I was charged twice for MARK, please refund one payment."
    chat = {"messages": [{"role": "user", "content": ticket}]}
    python, latency = sys.executable, str(options.latency)
    rows: dict[str, dict[str, float]] = {}

    def measure(name: str, url: str, body: Mapping[str, object], first: int) -> None:
        asyncio.run(load(url, body, options.clients, 3 * options.latency, first + 900_000))
        waited = asyncio.run(load(url, body, options.clients, options.seconds, first))
        rows[name] = overhead(waited, asyncio.run(_took(endpoint)))

    with (
        tempfile.TemporaryDirectory(prefix="patterns-bench-") as home,
        running([python, "-m", "benchmarks.endpoint", str(ports[0]), latency], endpoint),
    ):
        Path(home).chmod(0o711)  # as root, PostgreSQL's account has to get through
        measure("the endpoint itself", endpoint + CHAT, chat | {"model": "fixed"}, 0)
        settings = {
            "PATTERNS_HOME": home,
            "PATTERNS_HTTP_TOKEN": TOKEN,
            "PATTERNS_CHAT_MODEL": "openai:fixed",
            "PATTERNS_CHAT_BASE_URL": endpoint + "/v1",
        }
        patterns = str(Path(python).with_name("patterns"))
        with running([patterns, "serve", "--port", str(ports[1])], ours + "/health", **settings):
            named = {"inputs": {"ticket": ticket}}
            measure("POST /v1/prompts/NAME", f"{ours}/v1/prompts/classify_ticket", named, 1_000_000)
            as_model = chat | {"model": "classify_ticket"}
            measure("POST /v1/chat/completions", ours + CHAT, as_model, 2_000_000)
        subprocess.run([patterns, "down"], env=os.environ | settings, check=True)
        if options.litellm:
            config = Path(home, "litellm.yaml")
            config.write_text(json.dumps(_litellm(endpoint)), encoding="utf-8")
            command = [options.litellm, "--config", str(config), "--port", str(ports[2])]
            with running(command, theirs + "/health/liveliness", LITELLM_MASTER_KEY=TOKEN):
                measure("LiteLLM's proxy", theirs + CHAT, chat | {"model": "fixed"}, 3_000_000)
    print(f"{'overhead, ms':28}{'requests':>10}{'p50':>8}{'p95':>8}{'p99':>8}")
    for name, row in rows.items():
        figures = "".join(f"{row[key]:8.1f}" for key in ("p50_ms", "p95_ms", "p99_ms"))
        print(f"{name:28}{row['requests']:10.0f}{figures}")


def _litellm(endpoint: str) -> dict[str, object]:
    model = {"model": "openai/fixed", "api_base": endpoint + "/v1", "api_key": "none"}
    return {"model_list": [{"model_name": "fixed", "litellm_params": model}]}


if __name__ == "__main__":
    main()
