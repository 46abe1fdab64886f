"""Systems that summarize the same tickets, each run in a process of its own and measured.

The peers' programs and their virtual environments lie in a folder that ``--bench`` names:
``runners/NAME.py``, ``runners/venvs.json`` (which environment each has) and ``venvs/``. Those whose
environment is missing are left out.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.heavy_tail import Called

PEERS = {
    "LangGraph (Send)": ("langgraph_mr", "mode={mode}", "collapse=send"),
    "LangGraph, the published how-to": ("langgraph_mr", "mode={mode}"),
    "LangChain classic map-reduce": ("langchain_mr", "mode={mode}"),
    "DocETL": ("docetl_mr", "mode={mode}", "home={state}"),
    "LOTUS sem_agg": ("lotus_agg", "mode=packed"),
    "LlamaIndex TreeSummarize": ("llamaindex_tree", "mode=packed"),
    "naive Prefect .map": ("prefect_naive", "mode={mode}"),
}
PACKS_ALWAYS = ("LOTUS sem_agg", "LlamaIndex TreeSummarize")
BY_HAND = {"hand-written asyncio": (), "hand-written asyncio, as ready": ("--as-ready",)}
OURS = {"this project": (), "this project, as ready": ("--as-ready",)}
RESUMED = {  # where a killed run keeps what it has
    "LangGraph (Send)": ("ckpt=sqlite", "db={state}"),
    "LangChain classic map-reduce": ("cache={state}",),
    "LOTUS sem_agg": ("cache={state}",),
    "naive Prefect .map": ("persist=1", "home={state}"),
}


class Spent(NamedTuple):
    """What a process took: CPU seconds and MB of its largest process, with its children."""

    started: float
    seconds: float
    cpu: float
    memory: float
    status: int


def run(
    command: Sequence[str | Path],
    environment: Mapping[str, str] | None = None,
    *,
    endpoint: str = "",
    kill_after: float | None = None,
) -> Spent:
    """Run a command to its end, or kill it and all its children so long after its first call."""
    with tempfile.TemporaryFile() as said:
        started = time.time()
        process = subprocess.Popen(
            command,
            env=os.environ | dict(environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
        if kill_after is not None:
            while not calls(endpoint):
                time.sleep(0.1)
            time.sleep(kill_after)
            os.killpg(process.pid, signal.SIGKILL)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.time() - started
        if status and kill_after is None:
            said.seek(0)
            sys.stderr.write(said.read().decode(errors="replace")[-2000:])
    cpu, memory = used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
    return Spent(started, seconds, cpu, memory, status)


def installed(bench: Path | None) -> list[str]:
    """The peers that can be run."""
    if bench is None:
        return []
    venvs = json.loads((bench / "runners" / "venvs.json").read_text())
    return [n for n, (runner, *_) in PEERS.items() if (bench / "venvs" / venvs[runner]).is_dir()]


def command_of(
    system: str,
    tickets: Path,
    url: str,
    folder: Path,
    *,
    pack: bool,
    bench: Path | None,
    resumed: bool = False,
) -> tuple[list[str | Path], dict[str, str]]:
    """How a system is run on the tickets, and what its environment needs; what it says is written
    to ``folder/out.json``. ``resumed``: what it can keep for the same command again, it keeps."""
    out = folder / "out.json"
    if system in BY_HAND or system in OURS:
        module, given = ("by_hand", BY_HAND) if system in BY_HAND else ("engine", OURS)
        options = [*given[system], *(["--packed"] if pack else [])]
        options += ["--bench", str(bench)] if bench else []
        return [sys.executable, "-m", f"benchmarks.{module}", tickets, url, out, *options], {}
    assert bench is not None
    runner, *options = PEERS[system]
    options += RESUMED.get(system, ()) if resumed else ()
    environment = {
        "PYTHONPATH": str(bench),
        "OPENAI_API_KEY": "none",
        "OPENAI_BASE_URL": url,
        "OPENAI_API_BASE": url,
        "LANGSMITH_TRACING": "false",
        "ANONYMIZED_TELEMETRY": "false",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "DO_NOT_TRACK": "1",
        "PREFECT_API_URL": "",  # a server of its own, as it has by itself
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
        "PYTHONWARNINGS": "ignore",
    }
    named = {"mode": "packed" if pack else "ticket", "state": folder / "state"}
    venv = json.loads((bench / "runners" / "venvs.json").read_text())[runner]
    command: list[str | Path] = [
        bench / "venvs" / venv / "bin" / "python",
        bench / "runners" / f"{runner}.py",
        *("--tickets", tickets, "--base-url", url, "--out", out),
    ]
    for option in options:
        command += ["--opt", option.format(**named)]
    return command, environment


def reset(endpoint: str, seed: int = 1, scale: float = 1.0) -> None:
    """Let an endpoint of `benchmarks.heavy_tail` forget its calls."""
    body = json.dumps({"seed": seed, "scale": scale}).encode()
    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/reset", body)).close()


def calls(endpoint: str) -> int:
    """How many calls it has had."""
    return int(_read(endpoint)["calls"])


def log(endpoint: str) -> list[Called]:
    """Its answered calls, in the order in which they came."""
    return sorted(Called(*call) for call in _read(f"{endpoint}/log")["calls"])


def _read(url: str) -> Any:
    with urllib.request.urlopen(url) as response:
        return json.load(response)


def table(head: Sequence[str], rows: Iterator[Sequence[object]] | list[Sequence[object]]) -> str:
    """A Markdown table; floats with as many places as tell something."""
    lines = [head, ["---"] * len(head), *([_told(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _told(cell: object) -> str:
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, float):
        return f"{cell:.2f}" if cell < 10 else f"{cell:,.1f}"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)
