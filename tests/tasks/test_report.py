"""The files of a report: whole or not there, and the same evidence in each."""

import errno
import os
from pathlib import Path
from uuid import UUID, uuid4

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings

from infra.errors import StorageError
from tasks import report as reporting
from tasks.findings import Report
from tasks.report import files_in, findings_frame, publish_report, write_report
from tasks.runs import is_transient
from tests.tasks.reports import reports, sample


def test_a_report_is_four_files(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "down"
    files = write_report(sample(), folder)
    assert files == files_in(folder)
    assert sorted(path.name for path in folder.iterdir()) == [
        "findings.parquet",
        "report.html",
        "report.json",
        "report.md",
    ]
    assert files.html.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert files.markdown.read_text(encoding="utf-8").startswith("# tickets.csv")


def test_the_json_loads_back_to_an_equal_report(tmp_path: Path) -> None:
    files = write_report(sample(), tmp_path)
    assert Report.model_validate_json(files.json.read_bytes()) == sample()


def test_a_row_of_the_findings_has_all_its_evidence(tmp_path: Path) -> None:
    frame = pd.read_parquet(write_report(sample(), tmp_path).parquet)
    row = frame.set_index("id").loc["F1"]
    assert row["kind"] == "theme"
    assert row["title"] == "Codes arrive late"
    assert row["severity"] == "high"
    assert row["count"] == 3
    assert list(row["ticket_ids"]) == ["T-1", "T-2", "T-4"]
    assert list(row["quotes"]) == ["the code came too late", "Code war abgelaufen"]
    assert list(row["quoted_tickets"]) == ["T-1", "T-4"]
    assert list(row["group"]) == [{"value": "iOS", "count": 1}, {"value": "Web", "count": 2}]
    assert list(row["path"]) == ["Signing in"]
    rare = frame.set_index("id").loc["F4"]
    assert (rare["kind"], list(rare["path"]), list(rare["group"])) == ("rare", [], [])


def test_without_group_by_the_group_is_null(tmp_path: Path) -> None:
    bare = tuple(f.model_copy(update={"groups": {}}) for f in sample().findings)
    files = write_report(sample(group_by=None, groups=(), findings=bare), tmp_path)
    assert pd.read_parquet(files.parquet)["group"].isna().all()


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(report=reports())
def test_the_findings_hold_exactly_the_covered_tickets(report: Report, tmp_path: Path) -> None:
    frame = pd.read_parquet(write_report(report, tmp_path).parquet)
    covered = {ticket for row in frame["ticket_ids"] for ticket in row}
    assert covered == set(report.tickets) - set(report.unassigned)
    assert len(frame) == len(report.findings)
    assert list(frame["count"]) == [len(row) for row in frame["ticket_ids"]]


def test_the_frame_and_the_file_are_the_same(tmp_path: Path) -> None:
    read = pd.read_parquet(write_report(sample(), tmp_path).parquet)
    frame = findings_frame(sample())
    assert frame.to_json(orient="records") == read.to_json(orient="records")


def test_a_full_disk_leaves_the_earlier_report_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = write_report(sample(), tmp_path)
    before = [path.read_bytes() for path in files]
    real, calls = os.fsync, []

    def full_at_last(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full_at_last)
    with pytest.raises(StorageError, match=f"{tmp_path}: No space left on device"):
        write_report(sample(synthesis="Another."), tmp_path)
    assert [path.read_bytes() for path in files] == before
    assert len(list(tmp_path.iterdir())) == 4


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=f"{tmp_path}/file/reports: Not a directory"):
        write_report(sample(), tmp_path / "file" / "reports")


async def test_publishing_writes_the_files_and_leaves_an_artifact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[tuple[str, str | None]] = []

    async def leave(markdown: str, key: str | None = None, description: str | None = None) -> UUID:
        left.append((markdown, key))
        return uuid4()

    monkeypatch.setattr(reporting, "acreate_markdown_artifact", leave)
    files = await publish_report.fn(sample(), tmp_path)
    assert files.html.exists()
    assert [key for _, key in left] == ["summary-report"]
    assert left[0][0].startswith("# tickets.csv: what 7 tickets say")


def test_what_is_published_is_neither_cached_nor_stored() -> None:
    assert publish_report.persist_result is False
    assert publish_report.cache_policy is not None
    assert (
        publish_report.retry_condition_fn is is_transient
    )  # its files are written again, the same
