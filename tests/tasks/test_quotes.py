import numpy as np
import pandas as pd
import pytest

from tasks.facts import Facts
from tasks.quotes import LONGEST, quotes_of, sentences_of
from tasks.tree import Node, Tree
from tasks.wording import Words

WORDS = {1: Words(title="Exports that hang", detail="Exports hang before they are done.")}
COLUMNS = ["record", "passage", "fact", "problem", "severity", "quote", "quote_dropped"]


def facts_of(strategy: str, *rows: tuple[str, str, str | None]) -> tuple[Tree, Facts]:
    """One leaf with a fact for each (record, problem, quote)."""
    table = pd.DataFrame(
        [(r, r, r, problem, None, quote, False) for r, problem, quote in rows],
        columns=COLUMNS,
        dtype=object,
    )
    vectors = np.eye(384, dtype=np.float32)[: len(rows)]
    every = tuple(range(len(rows)))
    nodes = {1: Node(1, (), every, every), 0: Node(0, (1,))}
    return Tree(nodes, (), False), Facts(strategy, table, vectors, {}, 0, {})  # type: ignore[arg-type]


@pytest.mark.usefixtures("database")
async def test_words_of_a_model_are_never_given_as_a_quote() -> None:
    tree, facts = facts_of("read", ("T1", "it hangs", "It hangs"), ("T2", "invented words", None))
    assert [(q.ticket, q.text) for q in (await quotes_of(tree, facts, WORDS))[1]] == [
        ("T1", "It hangs")
    ]


async def quoted(text: str, words: dict[int, Words] = WORDS) -> str:
    """What a passage is quoted by."""
    tree, facts = facts_of("embed", ("T1", text, None))
    [quote] = (await quotes_of(tree, facts, words))[1]
    return quote.text


@pytest.mark.usefixtures("database")
async def test_a_passage_is_quoted_by_the_sentence_nearest_to_what_its_theme_says() -> None:
    text = "The invoice is wrong. The export hangs at 30 %. Regards, Ann"
    assert await quoted(text) == "The export hangs at 30 %."
    bills = {1: Words(title="Bills", detail="Customers report wrong invoices.")}
    assert await quoted(text, bills) == "The invoice is wrong."


@pytest.mark.usefixtures("database")
async def test_who_says_a_sentence_does_not_make_it_nearer() -> None:
    text = "Export Manager: We had a lovely lunch today.\nAnn: It stops at 30 % when I save a file."
    assert await quoted(text) == "Ann: It stops at 30 % when I save a file."


@pytest.mark.usefixtures("database")
async def test_a_sentence_of_one_or_two_words_is_a_quote_only_where_there_is_no_other() -> None:
    assert await quoted("Ann: Exports hang.\nBob: I know nothing of that.") == (
        "Bob: I know nothing of that."
    )
    assert await quoted("Exports hang.") == "Exports hang."


@pytest.mark.usefixtures("database")
async def test_different_tickets_are_quoted_first_then_a_long_one_again() -> None:
    said = (("T1", "a", "a"), ("T1", "b", "b"), ("T2", "c", "c"), ("T1", "d", "d"))
    tree, facts = facts_of("read", *said)
    assert [q.text for q in (await quotes_of(tree, facts, WORDS))[1]] == ["a", "c", "b"]


def test_sentences_are_verbatim_and_not_too_long() -> None:
    text = "One. Two!\n\n??? " + "word " * 200
    assert all(each in text for each in sentences_of(text))
    assert sentences_of(text)[:2] == ["One.", "Two!"]
    assert max(map(len, sentences_of(text))) <= LONGEST
