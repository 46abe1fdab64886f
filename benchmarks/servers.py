"""Server processes that a benchmark talks to."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import aiohttp


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@contextmanager
def running(command: list[str], url: str, **environment: str) -> Iterator[None]:
    """A server process, from when it answers until the block ends."""
    process = subprocess.Popen(command, env=os.environ | environment, stdin=subprocess.DEVNULL)
    try:
        asyncio.run(_until_it_answers(url, process))
        yield
    finally:
        process.terminate()
        process.wait(30)


async def _until_it_answers(url: str, process: subprocess.Popen[bytes]) -> None:
    async with aiohttp.ClientSession() as session:
        for _ in range(600):
            if process.poll() is not None:
                raise SystemExit(f"{url} ended with {process.returncode} before it answered.")
            with suppress(aiohttp.ClientError):
                async with session.get(url):
                    return
            await asyncio.sleep(0.2)
    raise SystemExit(f"{url} did not answer in two minutes.")


@contextmanager
def model(seconds: float) -> Iterator[str]:
    """The address of an endpoint of `benchmarks.endpoint`, which nobody has called yet."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    with running([sys.executable, "-m", "benchmarks.endpoint", str(port), str(seconds)], url):
        yield url


def calls_of(endpoint: str) -> int:
    """How many calls have come to it."""

    async def asked() -> int:
        async with aiohttp.ClientSession() as session, session.get(endpoint) as response:
            return int((await response.json())["calls"])

    return asyncio.run(asked())
