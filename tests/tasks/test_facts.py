from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from infra.postgres import Jsonb, fetch
from infra.settings import get_settings
from tasks.columns import Columns
from tasks.corpus import Corpus
from tasks.facts import (
    Facts,
    Strategy,
    collect_facts,
    default_strategy,
    extractor_of,
    fact_id,
    has_words,
    lineage_of,
)
from tasks.passages import passages

IDS = st.tuples(st.text("0123456789abcdef", max_size=3), st.integers(0, 30))


def corpus(*texts: str) -> Corpus:
    rows = [(f"T{n}", text, pd.NaT, None, "ticket") for n, text in enumerate(texts)]
    records = pd.DataFrame(rows, columns=["id", "text", "happened_at", "group", "kind"])
    return Corpus("test", records, Columns(text=("text",)))


def fact(problem: str, **changes: Any) -> dict[str, Any]:
    return {"problem": problem, "severity": "low", "quote": None, "quote_dropped": False} | changes


async def keep(
    sha256: str,
    *facts: dict[str, Any],
    reason: str | None = None,
    beside: Sequence[str] = (),
) -> None:
    """As if a model had read the passage; ``beside``: those whose words it has borrowed."""
    row = {"extractor": extractor_of("read"), "facts": Jsonb(list(facts)), "reason": reason}
    lenders = [bytes.fromhex(lender) for lender in beside]
    await fetch("keep_facts", {"passage": sha256, "borrowed_from": lenders, **row})


async def collect(source: Corpus, strategy: Strategy, **failed: str) -> Facts:
    """``failed``: record -> why its passage could not be read."""
    cut = passages(source)
    hashes = dict(zip(cut["record"], cut["sha256"], strict=True))
    reasons = {hashes[record]: why for record, why in failed.items()}
    return await collect_facts.fn(source, cut, strategy, reasons)


@given(IDS, IDS)
@example(("a1", 1), ("a", 11))
def test_facts_have_equal_ids_exactly_when_they_are_the_same_of_equal_texts(
    one: tuple[str, int], other: tuple[str, int]
) -> None:
    assert (fact_id(*one) == fact_id(*other)) is (one == other)
    assert len(fact_id(*one)) == 32
    assert set(fact_id(*one)) <= set("0123456789abcdef")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a", True),
        ("漢", True),
        ("4 Übel", True),
        ("", False),
        ("12:30 -- ?!", False),
        ("🙂", False),
    ],
)
def test_a_text_has_words_when_there_is_a_letter_in_it(text: str, words: bool) -> None:
    assert has_words(text) is words


def test_the_embedded_model_embeds_and_any_other_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [default_strategy()]
    for name in ("PATTERNS_STRONG_MODEL", "PATTERNS_FAST_MODEL"):
        monkeypatch.setenv(name, "openai:scripted")
        get_settings.cache_clear()
        found.append(default_strategy())
    assert found == ["embed", "embed", "read"], "the model that would read decides"


def test_a_lineage_is_of_one_source_one_way_to_make_facts_and_one_embedder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def all_ways() -> list[str]:
        get_settings.cache_clear()
        return [lineage_of(name, way) for name in ("a", "b") for way in ("embed", "read")]

    ways = all_ways()
    assert len(set(ways)) == 4
    monkeypatch.setenv("PATTERNS_CHAT_MODEL", "openai:other")
    by_other_model = all_ways()
    assert [a == b for a, b in zip(ways, by_other_model, strict=True)] == [True, False] * 2
    monkeypatch.setenv("PATTERNS_EMBEDDING_MODEL", "openai:text-embedding-3-small")
    assert set(all_ways()).isdisjoint(by_other_model)


@pytest.mark.usefixtures("database")
async def test_each_passage_is_a_fact_of_its_own_and_equal_texts_are_equal_facts() -> None:
    facts = await collect(corpus("Export hangs.", "Login fails.", "Export hangs."), "embed")
    table = facts.table
    assert list(table["record"]) == ["T0", "T1", "T2"]
    assert list(table["problem"]) == ["Export hangs.", "Login fails.", "Export hangs."]
    assert [table["fact"][0] == other for other in table["fact"]] == [True, False, True]
    assert facts.vectors[0].tobytes() == facts.vectors[2].tobytes()
    assert facts.vectors.shape == (3, 384)
    assert facts.unassigned == {}


@pytest.mark.usefixtures("database")
async def test_what_a_model_read_is_a_row_for_each_record_that_says_it() -> None:
    source = corpus("Export hangs, and the bill is wrong.", "Hi", "Hi")
    both, one = passages(source)["sha256"].unique()
    first = fact("export hangs", quote="Export hangs")
    await keep(both, first, fact("bill is wrong", severity="high"))
    await keep(one, fact("greeting", quote_dropped=True))
    facts = await collect(source, "read")
    assert list(facts.table["record"]) == ["T0", "T0", "T1", "T2"]
    assert list(facts.table["problem"]) == ["export hangs", "bill is wrong", "greeting", "greeting"]
    assert list(facts.table["quote"]) == ["Export hangs", None, None, None]
    assert [row == facts.table["fact"][2] for row in facts.table["fact"]] == [
        False,
        False,
        True,
        True,
    ]
    assert facts.invalid_quotes == 2
    assert len(facts.vectors) == 4


@pytest.mark.usefixtures("database")
async def test_a_record_without_facts_is_unassigned_with_the_reason() -> None:
    source = corpus("Thanks!", "1234", "", "Too much.", "Export hangs.")
    thanks, *_, export = passages(source)["sha256"]
    await keep(thanks, reason="it reports no problem, request or question")
    await keep(export, fact("export hangs"))
    facts = await collect(source, "read", T3="no answer (ModelUnavailable)")
    assert facts.unassigned == {
        "T0": "it reports no problem, request or question",
        "T1": "there are no words in it",
        "T2": "it is empty",
        "T3": "no answer (ModelUnavailable)",
    }
    assert list(facts.table["record"]) == ["T4"]


@pytest.mark.usefixtures("database")
async def test_a_record_of_which_one_passage_has_facts_is_assigned() -> None:
    source = corpus("Hello. " * 250 + "Export hangs. " * 100)
    first, *rest = passages(source)["sha256"]
    assert rest
    await keep(first, reason="it reports no problem, request or question")
    for sha256 in rest:
        await keep(sha256, fact("export hangs"))
    facts = await collect(source, "read")
    assert facts.unassigned == {}
    assert len(facts.table) == len(rest)


@pytest.mark.usefixtures("database")
async def test_what_another_model_read_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    source = corpus("Export hangs.")
    await keep(passages(source)["sha256"][0], fact("export hangs"))
    monkeypatch.setenv("PATTERNS_CHAT_MODEL", "openai:other")
    get_settings.cache_clear()
    facts = await collect(source, "read")
    assert facts.table.empty
    assert list(facts.unassigned) == ["T0"]


@pytest.mark.usefixtures("database")
async def test_a_corpus_of_nothing_has_no_facts() -> None:
    facts = await collect(corpus("", "?!"), "embed")
    assert facts.table.empty
    assert facts.vectors.shape == (0, 0)
    assert facts.vectors.dtype == np.float16
    assert (facts.invalid_quotes, list(facts.unassigned)) == (0, ["T0", "T1"])


@pytest.mark.usefixtures("database")
async def test_facts_with_words_of_another_passage_stay_as_long_as_that_one_does() -> None:
    source = corpus(
        "Export hangs.", "Login fails.", "It is slow.", "No mail comes.", "Prints blank."
    )
    hashes = list(passages(source)["sha256"])
    await keep(hashes[0], fact("hangs and prints blank"), beside=[hashes[4]])
    await keep(hashes[1], fact("fails as the deleted one"), beside=["00" * 32])
    for sha256 in hashes[2:]:
        await keep(sha256, fact("alone"))
    facts = await collect(source, "read")
    assert list(facts.table["record"]) == ["T0", "T2", "T3", "T4"]
    assert facts.table["problem"][0] == "hangs and prints blank"
