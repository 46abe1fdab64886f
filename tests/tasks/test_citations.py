"""Citations: a quote is looked up in the passages that were read."""

from hypothesis import given
from hypothesis import strategies as st

from tasks.citations import quoted
from tests.tasks.test_cited_answers import claim, passage

words = st.lists(st.sampled_from(["box", "Über", "14.5", "é", "don't"]), min_size=1, max_size=4)


@given(st.lists(st.text(min_size=1), min_size=1, max_size=4), st.text(), st.integers(0, 200))
def test_a_quote_that_is_given_out_always_stands_in_its_passage(
    texts: list[str], quote: str, start: int
) -> None:
    passages = [passage(text, str(number)) for number, text in enumerate(texts)]
    for said in (quote[:400], texts[0][start : start + 40]):
        found = quoted(claim(said), passages)
        assert found is None or found.quote in texts[int(found.document)]


@given(st.lists(words, min_size=1, max_size=6), st.data())
def test_a_quote_is_widened_to_whole_sentences(
    several: list[list[str]], data: st.DataObject
) -> None:
    sentences = [f"{' '.join(each)} end." for each in several]
    part = several[data.draw(st.integers(0, len(several) - 1))]
    quote = "  ".join(data.draw(st.sampled_from([part, part[:1], [*part, "END"]]))).upper()
    found = quoted(claim(quote), [passage(" ".join(sentences))])
    assert found is not None
    stretches = range(len(sentences))
    wholes = {" ".join(sentences[i : j + 1]) for i in stretches for j in stretches}
    assert found.quote in wholes
