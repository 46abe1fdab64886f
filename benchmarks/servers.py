"""Server processes that a benchmark talks to."""

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

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


@contextmanager
def home(*, named: bool = False, **environment: str) -> Iterator[None]:
    """A PATTERNS_HOME with a Prefect server, on which this process runs its flows: one of its own;
    with ``named``, the environment's, where there is one, which is left as it is."""
    own = not (named and "PATTERNS_HOME" in os.environ)
    with tempfile.TemporaryDirectory(prefix="patterns-bench-") as folder:
        Path(folder).chmod(0o711)  # as root, PostgreSQL's account has to get through
        os.environ |= environment | ({"PATTERNS_HOME": folder} if own else {})
        os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
        from deployments.server import use_server
        from infra.settings import get_settings

        try:
            use_server(get_settings().home)
            yield
        finally:
            if own:
                patterns = Path(sys.executable).parent / "patterns"
                subprocess.run([patterns, "down"], stdout=subprocess.DEVNULL, check=True)


def calls_of(endpoint: str) -> int:
    """How many calls have come to it."""

    async def asked() -> int:
        async with aiohttp.ClientSession() as session, session.get(endpoint) as response:
            return int((await response.json())["calls"])

    return asyncio.run(asked())
