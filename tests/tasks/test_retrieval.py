"""Search: by meaning, by words, and by both."""

from collections.abc import Sequence

import numpy as np
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.errors import InputError
from infra.postgres import close_pool, fetch
from tasks import passage_writing, retrieval
from tasks.document_collections import live_view
from tasks.documents import Document, Documents
from tasks.retrieval import MOST_CHARACTERS, TEXT_SHARE, documents_found, search, search_view
from tests.tasks.test_ingestion import ingest

pytestmark = pytest.mark.usefixtures("database")

PAGES = {
    "E-1042": "Error E-1042 means that the printer has no paper.",
    "paper": "When the tray is empty, the device stops and a lamp blinks.",
    "door": "The door of the machine room is locked at night.",
    "code": "class DiffExecutor runs the changes; call apply_patch() first.",
}


async def pages(**fields: dict[str, list[str]]) -> None:
    made = [Document(id_, "", text, fields.get(id_, {})) for id_, text in PAGES.items()]
    await ingest(Documents("pages", made))


async def test_words_find_what_meaning_does_not_and_the_other_way_round() -> None:
    await pages()
    by_words = await search("help", "E-1042", mode="text")
    assert [each.document for each in by_words] == ["E-1042"]
    by_meaning = await search("help", "out of sheets to print on", mode="vector", k=2)
    assert {each.document for each in by_meaning} == {"E-1042", "paper"}
    assert await search("help", "out of sheets", mode="text") == []


async def test_a_hybrid_score_is_the_weighted_sum_of_both_legs() -> None:
    await pages()
    found = await search("help", "Which error means no paper?")
    assert found[0].document == "E-1042"
    for each in found:
        both = (1 - TEXT_SHARE) * each.similarity + TEXT_SHARE * each.text_score
        assert each.score == pytest.approx(both)
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)
    assert len(found) == len(PAGES)  # what one leg brings, the other one scores


async def test_names_of_code_are_found_by_their_parts() -> None:
    await pages()
    for question in ("executor", "DiffExecutor", "patch", "apply_patch"):
        assert [each.document for each in await search("help", question, mode="text")] == ["code"]


async def test_a_filter_leaves_what_has_all_its_values() -> None:
    await pages(paper={"kind": ["device", "tray"]}, door={"kind": ["room"]})
    found = await search("help", "printer without paper", fields={"kind": ["device"]})
    assert [each.document for each in found] == ["paper"]
    assert await search("help", "paper", fields={"kind": ["device", "room"]}) == []
    assert await search("help", "paper", fields={"kind": ["house"]}) == []


async def test_a_filter_on_an_unknown_field_is_told_from_those_there_are() -> None:
    await pages(paper={"kind": ["device"], "year": ["2026"]})
    with pytest.raises(InputError, match=r"no field 'kinds'.*Did you mean 'kind'.*kind, year"):
        await search("help", "paper", fields={"kinds": ["device"]})


async def test_a_rare_value_is_found_among_many_passages() -> None:
    made = [
        Document(f"d{number}", "", f"Page {number} about paper.", {"part": [str(number % 200)]})
        for number in range(2000)
    ]
    await ingest(Documents("many", made))
    found = await search("help", "paper", fields={"part": ["7"]}, k=10)
    assert [each.fields["part"] for each in found] == [["7"]] * 10


async def test_a_filter_finds_what_the_index_gives_up_to_look_for(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    random, axis = np.random.default_rng(1), np.eye(384, dtype=np.float32)[0]

    async def vectors(texts: Sequence[str], *, quiet: bool = False) -> np.ndarray:
        sides = np.array([[-5.0 if "far" in text else 5.0] for text in texts])
        rows = random.normal(size=(len(texts), 384)) * 0.1 + sides * axis
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    monkeypatch.setattr(passage_writing, "vectors", vectors)
    side = {number: "far" if number % 20 == 0 else "near" for number in range(600)}
    made = [Document(f"d{n}", "", f"{at} page {n}", {"at": [at]}) for n, at in side.items()]
    await ingest(Documents("sides", made))
    await close_pool()
    with psycopg.connect(database, autocommit=True) as connection:
        here = connection.info.dbname
        connection.execute(f"alter database {here} set hnsw.max_scan_tuples = 50".encode())
        for other_way in ("bitmapscan", "seqscan", "sort"):  # better among so few
            connection.execute(f"alter database {here} set enable_{other_way} = off".encode())
    view = await live_view("help")
    far = {"at": ["far"]}
    for mode in ("vector", "hybrid"):
        found = await search_view(view, "page", axis, k=30, mode=mode, fields=far)  # type: ignore[arg-type]
        assert [each.fields for each in found] == [far] * 30


async def test_a_filter_finds_by_words_that_are_commoner_than_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retrieval, "_CANDIDATES", 20)
    texts = {f"shop{n}": "Refund policy of the shop." for n in range(5)}
    texts |= {f"road{n}": "A refund on the road." for n in range(30)}
    texts |= {f"bill{n}": "A refund of bills." for n in range(10)}
    made = [Document(id_, "", text, {"part": [id_[:4]]}) for id_, text in texts.items()]
    await ingest(Documents("parts", made))
    bills = {"part": ["bill"]}
    found = await search("help", "refund policy", mode="text", fields=bills, k=20)
    assert [each.fields for each in found] == [bills] * 10


async def test_the_neighbours_are_the_exact_ones() -> None:
    made = [Document(f"d{n}", "", f"Ticket {n}: {n * 7919} was lost.", {}) for n in range(300)]
    await ingest(Documents("tickets", made))
    view = await live_view("help")
    rows = await fetch("read_passages", everything(view.index, view.version))
    by_text = {row["text"]: row["document"] for row in rows}
    from tasks.embedding import vectors

    matrix, shares = (await vectors(list(by_text))).astype(np.float32), []
    for number in range(0, 300, 30):
        exact = {[*by_text.values()][i] for i in np.argsort(-(matrix @ matrix[number]))[:10]}
        found = await search_view(view, "x", matrix[number], k=10, mode="vector")
        shares.append(len(exact & {each.document for each in found}) / 10)
    assert np.mean(shares) >= 0.95  # texts so alike tie for the tenth place


def everything(index: int, version: int) -> dict[str, object]:
    return {
        "index": index,
        "version": version,
        "after": 0,
        "source": "",
        "documents": [],
        "most": 1000,
    }


@pytest.mark.parametrize("question", ["", " \n\t"])
async def test_an_empty_question_is_refused(question: str) -> None:
    await pages()
    with pytest.raises(InputError, match="question is empty"):
        await search("help", question)


async def test_a_question_of_100_000_characters_is_refused_and_a_long_one_is_not() -> None:
    await pages()
    with pytest.raises(InputError, match="100,000 characters, and may have 8,000"):
        await search("help", "x" * 100_000)
    long = ("Where is the paper of the printer? " * 1000)[:MOST_CHARACTERS]
    assert (await search("help", long))[0].document in {"paper", "E-1042"}


@pytest.mark.parametrize("question", ["Wo ist das Papier?", "纸在哪里？", "🖨️", "???", "the of and"])
async def test_a_question_of_other_words_finds_what_is_nearest(question: str) -> None:
    await pages()
    assert len(await search("help", question)) == len(PAGES)
    assert await search("help", question, mode="text") == []


async def test_any_question_is_taken_as_text() -> None:
    await pages()
    view = await live_view("help")

    @settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.text(min_size=1, max_size=60).filter(str.strip))
    def checked(question: str) -> None:
        questions.append(question)

    questions: list[str] = ["' | paper", "paper' & !x", "a:*", "\\", "'; drop table x; --", "%s"]
    checked()
    for question in questions:
        found = await search_view(view, question, None, k=5, mode="text")
        assert all(each.document in PAGES for each in found)


async def test_a_document_counts_once_by_its_best_passage() -> None:
    long = "\n\n".join(
        f"Paper {number}: " + "the tray of the printer. " * 30 for number in range(8)
    )
    made = [Document("long", "", long, {}), Document("short", "", "The printer's tray.", {})]
    await ingest(Documents("pages", made))
    view = await live_view("help")
    assert sorted(await documents_found(view, "tray of the printer", None, mode="text")) == [
        "long",
        "short",
    ]
