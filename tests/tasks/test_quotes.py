import numpy as np
import pandas as pd
import pytest

from tasks.facts import Facts
from tasks.quotes import LONGEST, quotes_of, sentences_of
from tasks.tree import Node, Tree

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
    assert [(q.ticket, q.text) for q in (await quotes_of(tree, facts))[1]] == [("T1", "It hangs")]


@pytest.mark.usefixtures("database")
async def test_a_passage_is_quoted_by_a_sentence_of_its_own() -> None:
    text = "Hello team. The export hangs at 30 %. Regards, Ann"
    tree, facts = facts_of("embed", ("T1", text, None))
    [quote] = (await quotes_of(tree, facts))[1]
    assert quote.text in sentences_of(text)


@pytest.mark.usefixtures("database")
async def test_different_tickets_are_quoted_first_then_a_long_one_again() -> None:
    said = (("T1", "a", "a"), ("T1", "b", "b"), ("T2", "c", "c"), ("T1", "d", "d"))
    tree, facts = facts_of("read", *said)
    assert [q.text for q in (await quotes_of(tree, facts))[1]] == ["a", "c", "b"]


def test_sentences_are_verbatim_and_not_too_long() -> None:
    text = "One. Two!\n\n??? " + "word " * 200
    assert all(each in text for each in sentences_of(text))
    assert sentences_of(text)[:2] == ["One.", "Two!"]
    assert max(map(len, sentences_of(text))) <= LONGEST
