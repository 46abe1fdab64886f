"""A summary while PostgreSQL and Prefect's server are restarted under it."""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest

from infra.embedded_postgres import status
from tasks.findings import Report
from tests.deployments.conftest import Terminal
from tests.endpoint import Body
from tests.weather import truthful

TICKETS = Path(__file__).parents[2] / "examples" / "tickets.csv"


class Cluster:
    """The terminal's PostgreSQL, by its own programs."""

    def __init__(self, home: Path) -> None:
        self.data = status(home).data
        postmaster = int((self.data / "postmaster.pid").read_text().split()[0])
        self._program = Path(f"/proc/{postmaster}/exe").resolve().with_name("pg_ctl")

    def ctl(self, *arguments: str) -> None:
        """Run pg_ctl as who owns the data. It may find that somebody else was first: whoever wants
        a connection starts the server, too."""
        owner = self.data.stat()
        who: dict[str, Any] = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
        subprocess.run(
            [self._program, "-D", self.data, "-t", "20", *arguments],
            check=False,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **(who if os.geteuid() == 0 else {}),
        )


@pytest.fixture
def cluster(terminal: Terminal, api: str) -> Iterator[Cluster]:
    if not Path("/proc/self/exe").exists():
        pytest.skip("the server's program is found in /proc")
    cluster = Cluster(terminal.home / "data")
    whole = terminal.endpoint.answer
    yield cluster
    terminal.endpoint.answer = whole
    cluster.ctl("stop", "-m", "fast")  # what pg_ctl has started, `patterns down` leaves alone
    terminal.result("up")


def test_a_run_outlives_restarts_of_postgresql_and_of_prefects_server_and_pays_nothing_twice(
    terminal: Terminal, api: str, cluster: Cluster, tmp_path: Path
) -> None:
    table = pd.read_csv(TICKETS, dtype=str, keep_default_na=False)
    tickets = tmp_path / "outages.csv"
    table.assign(body=table["body"] + " Outage!").to_csv(tickets, index=False)  # never read before
    home, back, turn = terminal.home / "data", list[threading.Thread](), threading.Lock()

    def prefect_is_away(how: signal.Signals) -> None:
        os.kill(terminal.pid("prefect"), how)
        code = "from pathlib import Path; from infra.prefect_server import ensure_running;"
        again = f"{code} import time; time.sleep(5); ensure_running(Path({str(home)!r}))"
        back.append(threading.Thread(target=terminal.python, args=[again]))
        back[-1].start()

    moments: dict[int, Callable[[], None]] = {
        3: lambda: cluster.ctl("restart", "-m", "immediate"),
        8: lambda: prefect_is_away(signal.SIGKILL),
        16: lambda: cluster.ctl("restart", "-m", "fast"),
    }

    def answer(body: Body, n: int) -> str:
        time.sleep(0.2)
        with turn:
            due = [moment for moment in sorted(moments) if moment <= len(endpoint.calls)][:1]
            happen = [moments.pop(moment) for moment in due]
        for each in happen:
            each()
        return truthful(body)

    endpoint, reports = terminal.endpoint, reports_shown(api)
    endpoint.forget()
    endpoint.answer = answer
    out = tmp_path / "report"
    settings = {"PATTERNS_CHAT_SLOTS": "4", "PATTERNS_CHAT_TIMEOUT": "120"}
    done = terminal.patterns(
        *("summarize", str(tickets), "--strategy", "read", "--json", "--out", str(out)), **settings
    )
    for each in back:
        each.join()
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert not moments
    assert figures["covered"] + figures["unassigned"] == 104
    asked = [json.dumps(body, sort_keys=True) for body in endpoint.answered]
    assert len(set(asked)) == len(asked)
    report = Report.model_validate_json((out / "report.json").read_text("utf-8"))
    assert report.lost == ()
    assert report.figures.model_calls == len(asked)
    assert reports_shown(api) == reports + 1


def reports_shown(api: str) -> int:
    """How many reports there are on the pages of runs."""
    wanted = {"artifacts": {"key": {"any_": ["summary-report"]}}}
    return int(httpx.post(f"{api}/artifacts/count", json=wanted).json())
