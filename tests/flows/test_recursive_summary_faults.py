"""A summary while its endpoint has its days: it ends whole, or says what is missing."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flows.recursive_summary import summarize_corpus
from infra import llm
from infra.errors import WorkIncomplete
from infra.postgres import transaction
from infra.settings import get_settings
from tasks import reading, wording
from tasks.findings import Report
from tasks.summaries import SummaryRequest
from tests.endpoint import Answer, Body, Fault, ScriptedEndpoint, user_text
from tests.weather import BAD_DAY, WORST_DAY, Weather, truthful

pytestmark = pytest.mark.usefixtures("database")

TICKETS = Path(__file__).parents[2] / "examples" / "tickets.csv"


@pytest.fixture(autouse=True)
def _many_small_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PACK_PASSAGES", 1)
    monkeypatch.setattr(reading.read_batch, "retry_delay_seconds", 0)
    monkeypatch.setattr(wording.word_branch, "retry_delay_seconds", 0)
    monkeypatch.setenv("PATTERNS_CHAT_TIMEOUT", "3")
    get_settings.cache_clear()


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llm, "_pause", lambda tries, error: 0.0)


async def summary(out: Path, strategy: str = "read", **more: Any) -> Report:
    asked = {"source": str(TICKETS), "strategy": strategy, "out": out, **more}
    await summarize_corpus(SummaryRequest.model_validate(asked))
    return report_in(out)


def report_in(out: Path) -> Report:
    return Report.model_validate_json((out / "report.json").read_text("utf-8"))


def words_and_evidence(report: Report) -> str:
    return report.model_dump_json(exclude={"made_at", "figures"})


async def forget_all() -> None:
    async with transaction() as connection:
        await connection.execute(
            "truncate patterns.codebooks, patterns.calls, patterns.facts cascade"
        )


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize("strategy", ["read", "embed"])
async def test_a_bad_day_changes_no_byte_of_the_report(
    endpoint: ScriptedEndpoint, tmp_path: Path, strategy: str
) -> None:
    endpoint.answer = truthful
    calm = await summary(tmp_path / "calm", strategy)
    assert calm.lost == ()
    await forget_all()
    endpoint.forget()
    endpoint.answer = weather = Weather(BAD_DAY)
    report = await summary(tmp_path / "bad", strategy)
    assert words_and_evidence(report) == words_and_evidence(calm)
    found = [pd.read_parquet(tmp_path / day / "findings.parquet") for day in ("calm", "bad")]
    pd.testing.assert_frame_equal(*found)
    assert sum(weather.met.values()) >= len(endpoint.calls) // 20
    if strategy == "read":  # more than a hundred requests
        assert weather.met.keys() == BAD_DAY.keys()


@pytest.mark.usefixtures("no_waiting")
async def test_on_the_worst_day_what_is_lost_is_named_with_its_tickets_and_the_next_run_has_it(
    endpoint: ScriptedEndpoint, tmp_path: Path
) -> None:
    endpoint.answer = truthful
    calm = await summary(tmp_path / "calm")
    await forget_all()
    table = pd.read_csv(TICKETS, dtype=str, keep_default_na=False)
    poison = " ".join(table["body"][7].split()[:6])
    worst = Weather(WORST_DAY)

    def answer(body: Body, n: int) -> Answer:
        reads = '"P1"' in str(body) or "'P1'" in str(body)
        return "nonsense" if reads and poison in user_text(body) else worst(body, n)

    def poisoned(body: Body, n: int) -> Answer:
        original = next(m["content"] for m in body["messages"] if m["role"] == "user")
        return answer({**body, "messages": [{"role": "user", "content": original}]}, n)

    endpoint.answer = poisoned
    with pytest.raises(WorkIncomplete, match=f"of {table['id'][7]}.*: the model could not read it"):
        await summary(tmp_path / "worst")
    lossy = report_in(tmp_path / "worst")
    assert {*calm.tickets} == {*lossy.unassigned}.union(*(f.ticket_ids for f in lossy.findings))
    assert table["id"][7] in lossy.unassigned
    missing = {*lossy.unassigned} - {*calm.unassigned}
    assert all(any(ticket in lost for lost in lossy.lost) for ticket in missing)
    assert len(missing) < 10
    told = " ".join((table["subject"] + " " + table["body"]).str.cat(sep=" ").split())
    assert all(" ".join(quote.text.split()) in told for f in lossy.findings for quote in f.quotes)
    assert (await summary(tmp_path / "allowed", max_failed_share=0.5)).lost

    endpoint.answer = truthful
    whole = await summary(tmp_path / "again")
    assert (whole.lost, whole.unassigned) == ((), calm.unassigned)


class Busy:
    """An endpoint whose limit changes with the number of its answers: none at first, then so many a
    second, then so many at once, then none again. ``refused`` and ``at_once``, by limit."""

    def __init__(self) -> None:
        self.answers, self.now = 0, 0
        self.refused = dict.fromkeys(("none", "rate", "silent", "slots", "free"), 0)
        self.at_once = dict.fromkeys(self.refused, 0)
        self._next_at = 0.0
        self._lock = threading.Lock()

    @property
    def limit(self) -> str:
        return list(self.refused)[min(4, self.answers // 15)]

    def __call__(self, body: Body, n: int) -> Answer:
        with self._entered() as limit:
            if not self._admits(limit):
                self.refused[limit] += 1
                return Fault(429, {"Retry-After": "0.1"} if limit == "rate" else {})
            time.sleep(0.05)
            with self._lock:
                self.answers += 1
            return truthful(body)

    def _admits(self, limit: str) -> bool:
        with self._lock:
            if limit in ("rate", "silent"):
                if time.monotonic() < self._next_at:
                    return False
                self._next_at = time.monotonic() + 0.1
            return limit != "slots" or self.now <= 3

    @contextmanager
    def _entered(self) -> Iterator[str]:
        with self._lock:
            self.now += 1
            limit = self.limit
            self.at_once[limit] = max(self.at_once[limit], self.now)
        try:
            yield limit
        finally:
            with self._lock:
                self.now -= 1


async def test_a_limit_that_comes_and_goes_slows_a_run_down_and_ends_none(
    endpoint: ScriptedEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATTERNS_CHAT_SLOTS", "16")
    get_settings.cache_clear()
    endpoint.answer = busy = Busy()
    report = await summary(tmp_path / "out")
    assert report.lost == ()
    assert busy.answers == report.figures.model_calls - sum(busy.refused.values())
    assert 0 < busy.refused["rate"] < 60
    assert 0 < busy.refused["silent"] < 60
    assert busy.refused["slots"] < 30
    assert busy.at_once["free"] > 3
