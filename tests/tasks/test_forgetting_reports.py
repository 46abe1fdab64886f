"""Words taken out of reports and of the digests beside them, also of damaged and moved ones."""

from pathlib import Path

import pytest

from infra.settings import get_settings
from tasks.digest_report import write_digest
from tasks.forgetting import Forgetting
from tasks.forgetting_reports import forget_in_reports
from tasks.report import files_in, write_report
from tasks.traces import FORGOTTEN, Traces
from tests.tasks.reports import sample
from tests.tasks.test_digest_report import digest

WORDS = "Codes arrive late"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A report with its digest."""
    monkeypatch.setenv("PATTERNS_HOME", str(tmp_path))
    get_settings.cache_clear()
    made = tmp_path / "reports" / "one"
    write_report(sample(), made)
    write_digest(digest(digest=str(made / "digest.html")), sample())
    return made


async def forgotten(*folders: Path) -> list[str]:
    row = {"id": 1, "ticket": "T-1", "sources": [], "requester": "", "hashes": [], "runs": []}
    return await forget_in_reports.fn(Forgetting([row], Traces([WORDS]), Traces(())), folders)


def said(folder: Path) -> dict[str, str]:
    return {each.name: each.read_text(errors="replace") for each in folder.iterdir()}


async def test_a_report_and_its_digest_lose_the_words_and_no_more(folder: Path) -> None:
    assert WORDS in said(folder)["digest.html"]
    assert await forgotten() == [str(files_in(folder).parquet)]
    assert not any(WORDS in text for text in said(folder).values())
    assert "Reset link fails" in said(folder)["digest.json"]
    assert FORGOTTEN in said(folder)["digest.json"]
    assert await forgotten() == []


async def test_a_digest_that_cannot_be_read_any_more_is_removed_whole(folder: Path) -> None:
    (folder / "digest.json").write_text("{")
    await forgotten()
    left = said(folder)
    assert left.keys() == {each.name for each in files_in(folder)}
    assert not any(WORDS in text for text in left.values())


async def test_with_a_report_that_cannot_be_read_any_more_its_digest_goes(folder: Path) -> None:
    files_in(folder).json.write_text("{")
    assert await forgotten() == [str(files_in(folder).parquet)]
    assert said(folder) == {}


async def test_what_is_damaged_without_the_words_is_left(folder: Path) -> None:
    await forgotten()
    (folder / "digest.json").write_text("{")
    before = said(folder)
    assert await forgotten() == []
    assert said(folder) == before


async def test_a_digest_that_was_moved_is_mended_where_it_is(folder: Path) -> None:
    moved = folder.rename(folder.with_name("two"))
    assert await forgotten() == [str(files_in(moved).parquet)]
    assert not any(WORDS in text for text in said(moved).values())
    assert not folder.exists()
