import re

from hypothesis import given
from hypothesis import strategies as st

from tasks.document_passages import passages_of
from tasks.documents import Document
from tasks.passages import DOCUMENT_TOKENS, estimated_tokens

TEXT = """Before.

# Refunds

All of them.

## Single tickets

Within 14 days.

```
# no heading
```

# Parking
Open."""


def document(text: str, title: str = "Handbook", *, has_headings: bool = True) -> Document:
    return Document("id", title, text, {"kind": ["page"]}, has_headings)


def test_a_passage_knows_the_headings_above_it() -> None:
    found = passages_of(document(TEXT), "folder")
    assert [each.context for each in found] == [
        "Handbook",
        "Handbook > Refunds",
        "Handbook > Refunds > Single tickets",
        "Handbook > Parking",
    ]
    assert "# no heading" in found[2].text
    assert [each.number for each in found] == [0, 1, 2, 3]
    assert {(each.source, each.document, each.fields["kind"][0]) for each in found} == {
        ("folder", "id", "page")
    }


def test_lines_of_plain_text_are_no_headings() -> None:
    [found] = passages_of(document("# a comment\nx = 1", has_headings=False), "s")
    assert (found.context, found.text) == ("Handbook", "# a comment\nx = 1")


def test_no_heading_is_embedded_twice() -> None:
    _, refunds, *_ = passages_of(document(TEXT), "s")
    assert refunds.whole == "Handbook\n# Refunds\n\nAll of them."
    [plain] = passages_of(document("It opens.", "Gate"), "s")
    assert plain.whole == "Gate\nIt opens."


def test_a_title_counts_twice_among_the_lexemes() -> None:
    [found] = passages_of(document("It opens.", "Gate"), "s")
    assert found.lexemes == {"gate": 2, "open": 1}


def test_a_document_with_a_title_alone_has_it_as_its_passage() -> None:
    assert [each.text for each in passages_of(document("", "Gate"), "s")] == ["Gate"]


@given(st.text(st.sampled_from("ab .\n#`-=é漢"), max_size=3000), st.booleans())
def test_every_character_is_in_one_passage_and_none_is_too_long(text: str, has: bool) -> None:
    found = passages_of(document(text, has_headings=has), "s")
    if text.strip():
        joined = re.sub(r"\s", "", "".join(each.text for each in found))
        assert joined == re.sub(r"\s", "", text)
    assert all(estimated_tokens(each.text) <= DOCUMENT_TOKENS for each in found)
