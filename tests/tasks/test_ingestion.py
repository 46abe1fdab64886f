"""Documents into a collection: what changed is written, and goes live when it is found as well."""

import asyncio
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infra.errors import InputError, SettingsError, WorkIncomplete
from infra.postgres import fetch
from tasks import collection_changes, passage_writing, retrieval
from tasks.collection_changes import change_of, one_at_a_time
from tasks.document_collections import (
    kept_views,
    list_collections,
    live_view,
    pin,
    remove,
    rollback,
    versions_of,
)
from tasks.documents import Document, Documents
from tasks.embedding import vectors
from tasks.ingestion import Ingested, ingested, judge_version, require_ingested
from tasks.passage_writing import write_passages
from tasks.retrieval import search

pytestmark = pytest.mark.usefixtures("database")

TEXTS = {
    "refunds": "Unused tickets are refunded within fourteen days of the purchase.",
    "parking": "The barrier of the car park opens when the ticket was paid.",
    "wifi": "The password of the guest network is changed every Monday.",
}


def documents(
    texts: Mapping[str, str] = TEXTS,
    source: str = "handbook",
    skipped: Mapping[str, str] | None = None,
) -> Documents:
    made = [Document(id_, id_.title(), text, {"kind": ["page"]}) for id_, text in texts.items()]
    return Documents(source, made, skipped)


async def ingest(
    given: Documents | None = None, name: str = "help", *, force: bool = False
) -> Ingested:
    """What the flow does."""
    given, started = given or documents(), datetime.now(UTC)
    async with one_at_a_time(name):
        change = await change_of(given, name)
        judged = await judge_version(change, await write_passages(change), force=force)
        return ingested(change, given, judged, started)


async def found(question: str, name: str = "help") -> list[str]:
    return [each.document for each in await search(name, question)]


async def test_documents_are_found_when_they_are_ingested() -> None:
    done = await ingest()
    assert (done.documents, done.passages, done.embedded, done.unchanged) == (3, 3, 3, 0)
    assert done.live
    assert (await found("When does the guest network's password change?"))[0] == "wifi"


async def test_the_same_documents_again_change_nothing() -> None:
    first, again = await ingest(), await ingest()
    assert (again.embedded, again.unchanged, again.removed) == (0, 3, 0)
    assert again.version == first.version


async def test_only_what_changed_is_written_and_what_is_gone_leaves() -> None:
    await ingest()
    changed = {"refunds": "Refunds take a month.", "wifi": TEXTS["wifi"], "lost": "A lost badge."}
    done = await ingest(documents(changed))
    assert (done.embedded, done.unchanged, done.removed, done.documents) == (2, 1, 1, 3)
    assert "parking" not in await found("When does the barrier of the car park open?")
    assert [
        each.text for each in await search("help", "refunds") if each.document == "refunds"
    ] == ["Refunds take a month."]


async def test_a_document_that_cannot_be_read_now_stays_as_it_was() -> None:
    await ingest()
    fewer = {id_: text for id_, text in TEXTS.items() if id_ != "wifi"}
    done = await ingest(documents(fewer, skipped={"wifi": "wifi.pdf is scanned."}))
    assert (done.removed, done.skipped) == (0, ("wifi.pdf is scanned.",))
    assert (await found("password of the guest network"))[0] == "wifi"
    with pytest.raises(WorkIncomplete, match=r"missing \(1\): wifi\.pdf is scanned"):
        require_ingested(done, max_skipped=0)
    require_ingested(done, max_skipped=1)


async def test_two_sources_share_a_collection_but_no_document() -> None:
    await ingest()
    more = await ingest(documents({"badge": "A lost badge is blocked at once."}, "faq"))
    assert (more.documents, more.removed) == (4, 0)
    with pytest.raises(InputError, match="'wifi' from handbook already"):
        await ingest(documents({"wifi": "Another."}, "faq"))
    assert (await ingest(documents({"badge": "A lost badge."}, "faq"))).documents == 4


async def test_an_ingest_that_was_killed_is_seen_by_nobody_and_undone_by_the_next() -> None:
    await ingest()
    before = await seen()
    changed = {**TEXTS, "wifi": "No network.", "new": "A new page about the guest network."}
    change = await change_of(documents(changed), "help")
    await write_passages(change)  # killed here: no judgement, nothing goes live
    assert await seen() == before
    assert "new" not in await found("guest network password")
    done = await ingest(documents({**TEXTS, "wifi": "The network is open."}))
    assert (done.embedded, done.unchanged) == (1, 2)
    [passages] = await fetch("count_passages", index=(await live_view("help")).index)
    assert passages["passages"] == 4  # the old page about the network stays for a rollback


async def seen() -> list[tuple[str, str]]:
    return sorted((each.document, each.text) for each in await search("help", "network", k=50))


async def test_an_ingest_that_fails_half_way_leaves_the_live_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await ingest()
    before, blocks = await seen(), 0
    monkeypatch.setattr(passage_writing, "_BLOCK", 1)
    real = passage_writing.vectors

    async def breaks(texts: Sequence[str], *, quiet: bool = False) -> np.ndarray:
        nonlocal blocks
        blocks += 1
        if blocks == 3:
            raise ConnectionError
        return await real(texts, quiet=quiet)

    monkeypatch.setattr(passage_writing, "vectors", breaks)
    with pytest.raises(ConnectionError):
        await ingest(documents({id_: f"{text} Really." for id_, text in TEXTS.items()}))
    assert await seen() == before


async def test_nothing_of_an_ingest_that_failed_is_written_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(passage_writing, "_BLOCK", 1)
    written, real = 0, passage_writing._write

    async def slow(*block: Any) -> None:
        nonlocal written
        await asyncio.sleep(0.3)
        await real(*block)
        written += len(block[0])

    async def breaks(texts: Sequence[str], *, quiet: bool = False) -> np.ndarray:
        if "never" in texts[0]:
            raise ConnectionError
        return await vectors(texts, quiet=quiet)

    await ingest()
    with monkeypatch.context() as patch:
        patch.setattr(passage_writing, "_write", slow)
        patch.setattr(passage_writing, "vectors", breaks)
        with pytest.raises(ConnectionError):
            await ingest(documents({"a": "This was a page.", "b": "This never was."}, "other"))
    at_the_end = written
    await ingest(documents({**TEXTS, "wifi": "There is no network."}))
    await asyncio.sleep(0.5)
    assert written == at_the_end
    assert {*await found("page")} == {*TEXTS}


async def test_two_ingests_of_a_collection_at_once_are_one_after_the_other() -> None:
    one = {f"a{number}": f"Page {number} about refunds." for number in range(5)}
    two = {**one, "a0": "Page 0 about parking.", "b": "One more."}
    first, second = await asyncio.gather(ingest(documents(one)), ingest(documents(two)))
    assert sorted([first.version, second.version]) == [1, 2]
    last = max(first, second, key=lambda done: done.version)
    assert (await live_view("help")).version == last.version
    assert last.documents == (6 if last is second else 5)


async def test_a_version_that_finds_less_of_its_pinned_questions_does_not_go_live() -> None:
    await ingest()
    await pin("help", {"When is the guest password changed?": ["wifi"]})
    fewer = documents({id_: text for id_, text in TEXTS.items() if id_ != "wifi"})
    done = await ingest(fewer)
    assert (done.live, done.recall, done.recall_before) == (False, 0.0, 1.0)
    assert done.lost == ("When is the guest password changed?",)
    assert (await found("guest password"))[0] == "wifi"
    with pytest.raises(WorkIncomplete, match=r"1 pinned questions find fewer .*--force"):
        require_ingested(done, max_skipped=0)
    assert [each.state for each in await versions_of("help")] == ["good", "refused"]
    assert [each.document for each in await search("help", "Monday", mode="text")] == ["wifi"]
    forced = await ingest(fewer, force=True)
    assert forced.live
    assert "wifi" not in await found("guest password")


async def test_a_rollback_brings_the_version_before_back() -> None:
    await ingest()
    await ingest(documents({**TEXTS, "wifi": "There is no network."}))
    assert [view.version for view in await kept_views("help")] == [1, 2]
    assert (await rollback("help")).version == 1
    assert (await search("help", "guest network"))[0].text == TEXTS["wifi"]
    assert [each.document for each in await search("help", "Monday", mode="text")] == ["wifi"]
    with pytest.raises(InputError, match="no good version before 1"):
        await rollback("help")
    done = await ingest(documents({**TEXTS, "wifi": "There is no network."}))
    assert (done.embedded, done.unchanged) == (1, 2)
    assert (await search("help", "network"))[0].text == "There is no network."


async def test_old_versions_leave_with_their_passages() -> None:
    for number in range(5):
        await ingest(documents({**TEXTS, "wifi": f"Network {number}."}))
    assert [each.version for each in await versions_of("help")] == [3, 4, 5]
    rows = await fetch("count_passages", index=(await live_view("help")).index)
    assert rows[0]["passages"] == 2 + 3  # of the network, as the kept versions say it


async def test_another_embedder_makes_everything_anew_while_the_old_index_serves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await ingest()
    await ingest(documents({"badge": "A lost badge is blocked."}, "faq"))
    old = await live_view("help")
    other_embedder(monkeypatch, dimensions=8)
    change = await change_of(documents(), "help")
    new = await write_passages(change)
    assert (await live_view("help")) == old  # and its questions are embedded as its passages are
    await judge_version(change, new)
    live = await live_view("help")
    assert (live.embedder, live.dimensions, live.documents) == ("test:other", 8, 4)
    assert live.index != old.index
    assert "badge" in await found("a lost badge")
    assert (await rollback("help")).index == old.index


async def test_vectors_of_another_length_under_the_same_name_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other_embedder(monkeypatch, dimensions=8)
    await ingest()
    other_embedder(monkeypatch, dimensions=16)
    with pytest.raises(SettingsError, match="8 and 16 numbers: another model answers"):
        await ingest(documents({**TEXTS, "wifi": "Changed."}))
    with pytest.raises(SettingsError, match="8 and 16 numbers"):
        await search("help", "network")


async def test_vectors_that_are_too_long_to_be_indexed_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other_embedder(monkeypatch, dimensions=4096)
    with pytest.raises(SettingsError, match="4096 numbers; 4000 can be indexed"):
        await ingest()


def other_embedder(patch: pytest.MonkeyPatch, dimensions: int) -> None:
    """One that is quick, and means nothing."""

    async def vectors(texts: Sequence[str], *, quiet: bool = False) -> np.ndarray:
        rows = [np.random.default_rng(len(text)).normal(size=dimensions) for text in texts]
        return np.array([row / np.linalg.norm(row) for row in rows], dtype=np.float32)

    async def embed(texts: Sequence[str], embedder: str | None = None) -> np.ndarray:
        return await (vectors(texts) if embedder == "test:other" else real(texts, None, embedder))

    real = retrieval.embed
    for module in (collection_changes, passage_writing):
        patch.setattr(module, "embedder_name", lambda: "test:other")
    patch.setattr(passage_writing, "vectors", vectors)
    patch.setattr(retrieval, "embed", embed)


async def test_a_removed_collection_is_gone_with_its_passages() -> None:
    await ingest()
    index = (await live_view("help")).index
    await remove("help")
    assert await list_collections() == []
    with pytest.raises(Exception, match=f"passages_{index}"):
        await fetch("count_passages", index=index)
    with pytest.raises(InputError, match="no collection 'help'"):
        await remove("help")


async def test_pinned_questions_name_documents_that_are_there() -> None:
    await ingest()
    with pytest.raises(InputError, match="no document 'nowhere'"):
        await pin("help", {"Where?": ["nowhere"]})


async def test_a_misspelt_collection_is_told_from_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="patterns ingest SOURCE --collection help"):
        await search("help", "network")
    await ingest()
    with pytest.raises(InputError, match=r"Did you mean 'help'"):
        await search("hepl", "network")


KILLED = """
import asyncio
from tasks import passage_writing
from tests.tasks.test_ingestion import TEXTS, documents, ingest

async def endless(passages, mean, real=passage_writing._rows):
    if len(written) == 2:
        await asyncio.sleep(600)
    written.append(passages)
    return await real(passages, mean)

written = []
passage_writing._BLOCK, passage_writing._rows = 1, endless
asyncio.run(ingest(documents({id_: f"{text} Changed." for id_, text in TEXTS.items()})))
"""


async def test_a_process_killed_in_the_middle_leaves_what_was_live_and_blocks_nobody() -> None:
    await ingest()
    before, index = await seen(), (await live_view("help")).index
    with subprocess.Popen([sys.executable, "-c", KILLED], cwd=Path(__file__).parents[2]) as child:
        while (await fetch("count_passages", index=index))[0]["passages"] == len(TEXTS):
            assert child.poll() is None
            await asyncio.sleep(0.05)
        assert await seen() == before  # half of it is written
        child.kill()
    assert await seen() == before
    async with asyncio.timeout(60):
        done = await ingest()
    assert (done.embedded, done.unchanged) == (0, 3)
    assert (await fetch("count_passages", index=index))[0]["passages"] == len(TEXTS)
