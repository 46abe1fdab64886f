"""Digests: what has changed in a corpus since the last one."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from prefect.client.orchestration import get_client
from pydantic import ValidationError

from flows.recursive_summary import digest_corpus
from infra.postgres import transaction
from tasks.digests import Digest, DigestRequest
from tests.endpoint import ScriptedEndpoint
from tests.flows.killed_runs import AT, NEVER, attempt

pytestmark = pytest.mark.usefixtures("database")

PROBLEMS = {
    "export": "The export of my monthly report hangs in the browser, attempt",
    "login": "I cannot sign in after the password reset, account",
    "billing": "My credit card was charged twice for the invoice number",
    "battery": "The battery of the tracker is empty after two hours, device",
}


def corpus(folder: Path, days_ago: int = 0, **counts: int) -> Path:
    """So many tickets of each problem, in the same file; those of a problem are numbered from 1."""
    rows = [
        {
            "id": f"{problem}-{n}",
            "created_at": (datetime.now(UTC) - timedelta(days=days_ago, minutes=n)).isoformat(),
            "text": f"{PROBLEMS[problem]} {n}.",
        }
        for problem, count in counts.items()
        for n in range(1, count + 1)
    ]
    pd.DataFrame(rows).to_csv(folder / "tickets.csv", index=False)
    return folder / "tickets.csv"


def request(source: Path, **changes: Any) -> DigestRequest:
    return DigestRequest.model_validate({"source": str(source), "strategy": "embed"} | changes)


def problems(digest: Digest, *kinds: str) -> list[str]:
    """Of which problems the themes in these lists are, by the tickets of the report."""
    report = json.loads(Path(digest.report).with_name("report.json").read_text("utf-8"))
    of = {f["id"]: f["ticket_ids"][0].split("-")[0] for f in report["findings"]}
    changes = [change for kind in kinds for change in getattr(digest, kind)]
    return sorted(of.get(change.theme, "gone") for change in changes)


def sums(digest: Digest) -> tuple[int, int]:
    """Tickets of all themes, then and now; here each is under one."""
    all_ = (*digest.changed, *digest.unchanged)
    assert len({change.theme for change in all_}) == len(all_)
    return sum(change.before for change in all_), sum(change.now for change in all_)


async def shown(key: str = "digest") -> str:
    """The newest artifact under a key."""
    async with get_client() as client:
        found = await client._client.post(
            "/artifacts/filter",
            json={"artifacts": {"key": {"any_": [key]}}, "sort": "CREATED_DESC", "limit": 1},
        )
    [left] = found.json()
    return str(left["data"])


async def test_the_first_digest_has_every_theme_as_new_and_the_same_again_changes_nothing_for_free(
    endpoint: ScriptedEndpoint, tmp_path: Path
) -> None:
    source = corpus(tmp_path, export=12, login=12, billing=12)
    first = await digest_corpus(request(source))
    assert (first.since, first.tickets, first.came) == (None, 36, 36)
    assert first.changed == first.new
    assert {"export", "login", "billing"} <= set(problems(first, "new"))
    assert "the first digest" in await shown()

    endpoint.forget()
    again = await digest_corpus(request(source))
    assert (again.changed, again.came, again.left) == ((), 0, 0)
    assert (again.model_calls, endpoint.calls) == (0, [])
    assert again.since == first.made_at
    assert sums(again) == (sums(first)[1], sums(first)[1])
    assert "**Nothing has changed: 36 tickets" in await shown()


async def test_themes_are_told_as_new_grown_shrunk_and_vanished(
    endpoint: ScriptedEndpoint, tmp_path: Path
) -> None:
    first = await digest_corpus(
        request(corpus(tmp_path, export=14, login=14, billing=14, battery=0))
    )
    second = await digest_corpus(
        request(corpus(tmp_path, export=44, login=0, billing=15, battery=4))
    )
    assert (second.tickets_before, second.tickets) == (42, 63)
    assert (second.came, second.left) == (35, 14)
    assert not second.refitted
    assert set(problems(second, "new")) == {"battery"}
    assert set(problems(second, "grown")) == {"export"}
    assert set(problems(second, "vanished")) == {"gone"}
    assert set(problems(second, "unchanged")) == {"billing"}
    assert second.after is not None
    assert sums(second)[0] == sums(first)[1]

    third = await digest_corpus(request(corpus(tmp_path, export=44, login=0, billing=2, battery=4)))
    assert set(problems(third, "shrunk")) == {"billing"}
    assert (third.new, third.grown, third.vanished) == ((), (), ())
    fourth = await digest_corpus(
        request(corpus(tmp_path, export=44, login=14, billing=2, battery=4))
    )
    assert set(problems(fourth, "grown")) == {"login"}, "it was there before: it is not new"

    page = Path(second.digest).read_text("utf-8")
    assert page.index("New (") < page.index("Grown (") < page.index("Vanished (")
    assert f'href="report.html#{second.new[0].theme}"' in page
    assert Path(second.report).parent == Path(second.digest).parent
    file = Path(second.digest).with_name("digest.json").read_text("utf-8")
    assert Digest.model_validate_json(file) == second


async def test_themes_that_were_found_anew_are_matched_with_the_old_ones_and_that_is_said(
    endpoint: ScriptedEndpoint, tmp_path: Path
) -> None:
    source = corpus(tmp_path, export=12, login=12, billing=12)
    first = await digest_corpus(request(source))
    again = await digest_corpus(request(source, refit=True))
    assert (again.refitted, again.changed, again.came) == (True, (), 0)
    assert sums(again) == (sums(first)[1], sums(first)[1])
    assert "The themes were found anew" in await shown()
    grown = await digest_corpus(
        request(corpus(tmp_path, export=12, login=12, billing=0, battery=9), refit=True)
    )
    assert set(problems(grown, "new")) == {"battery"}
    assert all(change.theme.startswith("old F") for change in grown.vanished)
    assert sum(change.before for change in grown.vanished) == 12


async def test_a_run_that_is_killed_once_its_digest_is_kept_is_compared_with_the_one_before_again(
    endpoint: ScriptedEndpoint, tmp_path: Path
) -> None:
    await digest_corpus(request(corpus(tmp_path, export=12, login=12)))
    source = corpus(tmp_path, export=12, login=12, battery=9)
    asked = request(source, out=tmp_path / "out").model_dump(mode="json", exclude_defaults=True)
    async with get_client() as client:
        run = await client.create_flow_run(digest_corpus, parameters={"request": asked})
    flow = "flows.recursive_summary.digest_corpus"
    assert not await attempt(run.id, flow, AT, "tasks.digests", "keep", "after")
    first = Digest.model_validate_json((tmp_path / "out" / "digest.json").read_bytes())
    assert await kept() == 2
    assert await attempt(run.id, flow, NEVER)
    again = Digest.model_validate_json((tmp_path / "out" / "digest.json").read_bytes())
    assert await kept() == 2
    assert set(problems(again, "new")) == {"battery"}
    for kind in ("new", "grown", "shrunk", "vanished", "unchanged", "since", "after", "came"):
        assert getattr(again, kind) == getattr(first, kind)


async def test_a_digest_of_some_days_is_compared_with_those_of_as_many(
    endpoint: ScriptedEndpoint, tmp_path: Path
) -> None:
    await digest_corpus(request(corpus(tmp_path, days_ago=2, export=12, login=12)))
    source = tmp_path / "tickets.csv"
    week = await digest_corpus(request(source, days=7))
    assert (week.since, week.tickets, week.days) == (None, 24, 7)
    corpus(tmp_path, days_ago=20, export=12, login=12)
    later = await digest_corpus(request(source, days=7))
    assert (later.tickets, later.left, later.since) == (0, 24, week.made_at)
    assert len(later.vanished) == len(week.new)


def test_a_digest_looks_back_on_days_or_from_a_time_on_but_not_both() -> None:
    with pytest.raises(ValidationError, match="days or since, not both"):
        request(Path("t.csv"), days=7, since="2026-01-01T00:00:00Z")


async def kept() -> int:
    async with transaction() as connection:
        cursor = await connection.execute("select count(*) as n from patterns.digests")
        row = await cursor.fetchone()
    assert row
    return int(row["n"])
