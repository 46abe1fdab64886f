"""What runs that wait for people survive: `python -m benchmarks.waiting_reviews --runs 100`.

    trigger → all wait → no process of theirs → kill -9 of all servers → `patterns up` → decisions

The platform runs in a data directory of its own. Nine of ten reviews are decided in the form, the
tenth at a terminal. The model's endpoint counts what it is asked: once for each run.
"""

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.deployments import arun_deployment

from benchmarks.servers import calls_of, model

DEPLOYMENT = "answer-prompt/answer-prompt"
SERVICES = ("serve", "prefect", "postgres")
KEY = "review-1-1"
PATIENCE = 3600.0  # seconds


class Platform:
    """A platform in a data directory of its own."""

    def __init__(self, home: Path, endpoint: str) -> None:
        self.home = home
        others = {
            k: v for k, v in os.environ.items() if not k.startswith(("PATTERNS_", "PREFECT_"))
        }
        kept = {k: os.environ[k] for k in ("PATTERNS_ASSETS",) if k in os.environ}
        self.variables = {
            **others,
            **kept,
            "PATTERNS_HOME": str(home),
            "PATTERNS_CHAT_MODEL": "openai:fixed",
            "PATTERNS_CHAT_BASE_URL": f"{endpoint}/v1",
        }

    def patterns(self, *arguments: str) -> Any:
        """What `patterns … --json` says."""
        command = [Path(sys.executable).with_name("patterns"), *arguments, "--json"]
        done = subprocess.run(command, env=self.variables, capture_output=True, check=False)
        if done.returncode:
            raise SystemExit(f"patterns {' '.join(arguments)}: {done.stderr.decode()}")
        return json.loads(done.stdout)

    def kill(self) -> None:
        """End all servers at once, with no time to say goodbye."""
        for service in SERVICES:
            os.kill(int((self.home / "services" / f"{service}.lock").read_text()), signal.SIGKILL)


def processes_of(runs: Mapping[UUID, str]) -> int:
    """How many processes work for one of the runs."""
    found = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            told = (process / "environ").read_bytes().decode(errors="replace")
        except OSError:  # it ended meanwhile
            continue
        found += any(str(run) in told for run in runs)
    return found


async def triggered(api: str, count: int) -> dict[UUID, str]:
    """So many runs with a review, and the ticket of each."""
    runs = {}
    async with PrefectClient(api) as client:
        for number in range(count):
            ticket = f"I was charged twice, case MARK-{number}"
            request = {"prompt": "classify_ticket", "inputs": {"ticket": ticket}, "review": True}
            run = await arun_deployment(
                DEPLOYMENT, parameters={"request": request}, timeout=0, client=client
            )
            runs[run.id] = ticket
    return runs


async def until(
    api: str, runs: Mapping[UUID, str], wanted: Callable[[Any], bool], told: str
) -> float:
    """Seconds until the states of all runs are as wanted. Any that failed ends the benchmark."""
    started = time.perf_counter()
    async with PrefectClient(api) as client:
        while time.perf_counter() - started < PATIENCE:
            states = [(await client.read_flow_run(run)).state for run in runs]
            for state in states:
                if state and state.is_final() and not state.is_completed():
                    raise SystemExit(f"A run is {state.name}: {state.message}")
            there = sum(wanted(state) for state in states)
            print(f"\r{told}: {there} of {len(runs)}", end="", file=sys.stderr)
            if there == len(runs):
                print(file=sys.stderr)
                return time.perf_counter() - started
            await asyncio.sleep(2)
    raise SystemExit(f"{told}: not all of them in {PATIENCE:.0f} s.")


async def decide_in_forms(api: str, runs: list[UUID]) -> None:
    """Approve in the form of each run."""
    async with PrefectClient(api) as client:
        for run in runs:
            form = {"decision": "approve", "reviewer": "Ann"}
            resumed = await client.resume_flow_run(run, run_input=form)
            if resumed.status.value != "ACCEPT":
                raise SystemExit(f"The decision on {run} did not arrive: {resumed.details}")


def main() -> None:
    """Print what happened, step by step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=100)
    count = parser.parse_args().runs
    with tempfile.TemporaryDirectory(prefix="patterns-waiting-") as folder, model(0.2) as endpoint:
        home = Path(folder)
        home.chmod(0o711)
        platform = Platform(home / "data", endpoint)
        try:
            api = platform.patterns("up")["api"]
            runs = asyncio.run(triggered(api, count))
            suspended = asyncio.run(
                until(api, runs, lambda state: bool(state and state.is_paused()), "waiting")
            )
            time.sleep(5)  # the last process ends
            print(f"{count} runs wait after {suspended:.0f} s; processes: {processes_of(runs)}")
            asked = calls_of(endpoint)
            platform.kill()
            time.sleep(2)
            print("Killed with -9: the serving process, Prefect's server, PostgreSQL.")
            api = platform.patterns("up")["api"]
            waiting = platform.patterns("review", "list")["reviews"]
            by_run = {UUID(each["root_run"]): each for each in waiting}
            print(f"Up again: {len(by_run.keys() & runs.keys())} reviews wait.")
            at_terminal = [*runs][::10]
            asyncio.run(decide_in_forms(api, [run for run in runs if run not in at_terminal]))
            for run in at_terminal:
                number, sha256 = str(by_run[run]["id"]), str(by_run[run]["sha256"])
                platform.patterns("review", "approve", number, "--by", "Bob", "--sha256", sha256)
            done = asyncio.run(
                until(api, runs, lambda state: bool(state and state.is_completed()), "completed")
            )
            chain = platform.patterns("review", "verify")
            print(
                f"{count} runs completed {done:.0f} s after the last decision. The model was asked "
                f"{asked} times before, {calls_of(endpoint) - asked} after. Events in the chain: "
                f"{chain['events']}, faults: {len(chain['faults'])}."
            )
        finally:
            platform.patterns("down")


if __name__ == "__main__":
    main()
