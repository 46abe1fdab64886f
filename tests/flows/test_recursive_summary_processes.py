"""Runs of the same summary in processes of their own: at once, and killed."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import psycopg

from infra.slots import LEASE
from tasks.findings import Report
from tests.endpoint import Body, ScriptedEndpoint
from tests.weather import truthful

TICKETS = Path(__file__).parents[2] / "examples" / "tickets.csv"
# Small packs, and where it is to be killed, leases that it loses soon.
_RUN = """
import asyncio, sys
from pathlib import Path
from infra import slots
slots.LEASE = float(sys.argv[3])
from flows.recursive_summary import summarize_corpus
from infra.llm import close_door
from tasks import reading
from tasks.summaries import SummaryRequest

reading.PACK_PASSAGES = 4
source, out = sys.argv[1:3]

async def main():
    try:
        await summarize_corpus(SummaryRequest(source=source, strategy="read", out=out))
    finally:
        await close_door()

Path(out).with_suffix(".begun").touch()
asyncio.run(main())
"""


def begun(out: Path, lease: float = LEASE) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", _RUN, TICKETS, out, str(lease)]
    return subprocess.Popen(command, env=os.environ, stderr=subprocess.PIPE)


def ended(run: subprocess.Popen[bytes]) -> int:
    _, said = run.communicate()
    assert run.returncode in (0, -signal.SIGKILL), said.decode()
    return run.returncode


def report_in(out: Path) -> str:
    report = Report.model_validate_json((out / "report.json").read_text("utf-8"))
    assert report.lost == ()
    return report.model_dump_json(exclude={"made_at", "figures"})


def asked(calls: list[Body]) -> list[str]:
    return [json.dumps([[m["role"], m["content"]] for m in body["messages"]]) for body in calls]


def kept(database: str) -> set[str]:
    """What the replies that are kept were asked for."""
    with psycopg.connect(database) as connection:
        rows = connection.execute(
            "select request -> 'messages' from patterns.calls where reply is not null"
        ).fetchall()
    return {json.dumps(messages) for (messages,) in rows}


def test_two_processes_on_one_corpus_pay_each_call_once_and_find_the_same(
    endpoint: ScriptedEndpoint, database: str, tmp_path: Path
) -> None:
    places = tmp_path / "one", tmp_path / "two"

    def answer(body: Body, n: int) -> str:
        while not all(place.with_suffix(".begun").exists() for place in places):
            time.sleep(0.02)
        time.sleep(0.1)
        return truthful(body)

    endpoint.answer = answer
    runs = [begun(place) for place in places]
    assert [ended(run) for run in runs] == [0, 0]
    one, two = map(report_in, places)
    assert one == two
    assert len(endpoint.calls) > 30
    assert len(set(asked(endpoint.calls))) == len(endpoint.calls)


def test_whenever_it_is_killed_no_reply_that_was_kept_is_asked_for_again(
    endpoint: ScriptedEndpoint, database: str, tmp_path: Path
) -> None:
    chance = random.Random(7)
    for moment in sorted(chance.sample(range(3, 30), 3)):
        run, before = begun(tmp_path / "out", lease=4), kept(database)
        endpoint.forget()
        fuse = [threading.Timer(chance.uniform(0, 0.03), run.kill)]

        def answer(
            body: Body,
            n: int,
            fuse: list[threading.Timer] = fuse,
            moment: int = moment,
        ) -> str:
            time.sleep(chance.uniform(0, 0.05))
            if len(kept(database)) >= moment:
                with suppress(IndexError):  # it may have this reply by then, kept or not, or not
                    fuse.pop().start()
            return truthful(body)

        endpoint.answer = answer
        assert ended(run) == -signal.SIGKILL
        assert before.isdisjoint(asked(endpoint.calls))
    before = kept(database)
    assert len(before) >= moment
    endpoint.forget()
    endpoint.answer = lambda body, n: truthful(body)
    assert ended(begun(tmp_path / "out", lease=4)) == 0
    assert before.isdisjoint(asked(endpoint.calls))
    report_in(tmp_path / "out")
