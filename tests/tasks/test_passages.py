import hashlib

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.columns import Columns
from tasks.corpus import Corpus
from tasks.passages import (
    TICKET_TOKENS,
    TRANSCRIPT_TOKENS,
    cut_text,
    estimated_tokens,
    passages,
)
from tasks.records import to_records

MOST = {"ticket": TICKET_TOKENS, "transcript": TRANSCRIPT_TOKENS}
KINDS = st.sampled_from(sorted(MOST))
TEXTS = st.lists(
    st.one_of(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
        st.sampled_from(["\n", "\n\n", "\nAnn: ", ". ", "。", " ", "word " * 150, "x" * 2500]),
        st.sampled_from(["漢" * 450, "🙂" * 310, ("It broke. " * 30), "é" * 700]),
    ),
    max_size=10,
).map("".join)


def corpus(*texts: str, kind: str = "ticket") -> Corpus:
    rows = [(f"T{n}", text, pd.NaT, None, kind) for n, text in enumerate(texts)]
    records = pd.DataFrame(rows, columns=["id", "text", "happened_at", "group", "kind"])
    return Corpus("test", records, Columns(id="id", text=("text",)))


def solid(text: str) -> str:
    return "".join(text.split())


@given(TEXTS, KINDS)
def test_every_character_is_in_exactly_one_passage_in_order(text: str, kind: str) -> None:
    assert "".join(map(solid, cut_text(text, kind))) == solid(text)


def test_a_text_that_is_not_cut_is_in_memory_once() -> None:
    texts = ["It is late.", "Où est-il ? 🙂"]
    table = pd.DataFrame({"id": ["1", "2"], "text": texts}, dtype=object)
    named = Columns(id="id", text=("text",))
    records, *_ = to_records(table, named, named, "test")
    cut = passages(Corpus("test", records, named))
    for at in range(2):
        assert cut["text"][at] is texts[at]
    assert cut["text"].to_numpy().base.size == len(cut), "no other column is kept along with it"


@given(TEXTS, KINDS)
def test_no_passage_is_empty_or_longer_than_its_limit(text: str, kind: str) -> None:
    for passage in cut_text(text, kind):
        assert passage.strip() == passage != ""
        assert estimated_tokens(passage) <= MOST[kind]
        assert passage in text


@given(TEXTS, TEXTS)
def test_an_estimate_of_two_texts_is_at_most_one_token_from_their_sum(a: str, b: str) -> None:
    parts = estimated_tokens(a) + estimated_tokens(b)
    assert parts - 1 <= estimated_tokens(a + b) <= parts


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 0), ("a", 1), ("four" * 10, 10), ("漢字" * 10, 20), ("🙂" * 3, 4)]
)
def test_tokens_are_estimated_by_script(text: str, tokens: int) -> None:
    assert estimated_tokens(text) == tokens


def test_a_short_text_is_one_passage() -> None:
    assert cut_text("  Login\n\nIt fails. ", "ticket") == ["Login\n\nIt fails."]


def test_a_text_of_white_space_has_no_passage() -> None:
    assert cut_text(" \n\u2003\t", "ticket") == []


def test_a_ticket_is_cut_between_paragraphs_before_sentences() -> None:
    paragraph = "This is a sentence. " * 30  # 600 characters, 150 tokens
    text = "\n\n".join([paragraph.strip()] * 4)
    assert cut_text(text, "ticket") == ["\n\n".join([paragraph.strip()] * 2)] * 2


def test_a_ticket_is_cut_between_paragraphs_before_lines() -> None:
    paragraph = "\n".join(["A line that the mail program broke"] * 25)  # 875 characters
    assert cut_text("\n\n".join([paragraph] * 3), "ticket") == [paragraph] * 3


def test_a_long_paragraph_is_cut_between_sentences() -> None:
    sentence = "The printer on the second floor prints every page in green. "  # 15 tokens
    cuts = cut_text(sentence * 60, "ticket")
    assert len(cuts) == 3
    assert all(cut.startswith("The printer") and cut.endswith("green.") for cut in cuts)


def test_chinese_is_cut_between_sentences_too() -> None:
    cuts = cut_text("打印机又坏了。" * 90, "ticket")
    assert len(cuts) == 2
    assert all(cut.endswith("。") for cut in cuts)


def test_a_long_sentence_is_cut_between_words() -> None:
    words = [f"word{n}" for n in range(1000)]
    assert [word for cut in cut_text(" ".join(words), "ticket") for word in cut.split()] == words


def test_an_endless_word_is_cut_anywhere() -> None:
    cuts = cut_text("x" * 10_000, "ticket")
    assert "".join(cuts) == "x" * 10_000
    assert len(cuts) == 7


@pytest.mark.parametrize("gap", ["\n", "\n\n", "\r\n"])
def test_a_transcript_is_cut_between_turns(gap: str) -> None:
    turn = "Ann Lee: First line.\n\nSecond paragraph, " + "and so on " * 20  # 60 tokens
    cuts = cut_text(gap.join([turn.strip()] * 9), "transcript")
    assert len(cuts) == 3
    assert all(cut.startswith("Ann Lee:") and cut.count("Ann Lee:") == 3 for cut in cuts)


@pytest.mark.parametrize("speaker", ["[doctor] ", "[12] Grad C: ", "- agent: ", "customer: "])
def test_turns_are_known_by_how_they_begin(speaker: str) -> None:
    turn = speaker + "well, " * 70
    cuts = cut_text("\n".join([turn.strip()] * 3), "transcript")
    assert len(cuts) == 3
    assert all(cut.startswith(speaker) for cut in cuts)


def test_passages_stand_in_the_order_of_the_corpus() -> None:
    found = passages(corpus("b " * 1000, "", "same", "same"))
    assert found["record"].tolist() == ["T0", "T0", "T2", "T3"]
    assert found["ordinal"].tolist() == [0, 1, 0, 0]
    assert found["tokens"].tolist() == [estimated_tokens(text) for text in found["text"]]


def test_equal_texts_have_equal_hashes() -> None:
    found = passages(corpus("Größe", "Größe"))
    assert set(found["sha256"]) == {hashlib.sha256("Größe".encode()).hexdigest()}


def test_a_transcript_has_smaller_passages_than_a_ticket() -> None:
    text = "word " * 300
    assert len(passages(corpus(text))) == 1
    assert len(passages(corpus(text, kind="transcript"))) == 2


def test_a_corpus_without_text_has_no_passages() -> None:
    assert list(passages(corpus("")).columns) == ["record", "ordinal", "text", "sha256", "tokens"]
    assert passages(corpus("")).empty


def test_a_cell_of_ten_megabytes_is_cut() -> None:
    text = "The export fails. " * 560_000
    found = cut_text(text, "ticket")
    assert solid("".join(found)) == solid(text)
