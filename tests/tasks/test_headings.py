"""Headings of Markdown."""

from tasks.headings import headings

TEXT = """First
=====

# Second #

```sh
# a comment
```

    # code

> # quoted

### Third `part`
"""


def test_headings_have_their_line_level_and_words_and_code_has_none() -> None:
    assert list(headings(TEXT)) == [(0, 1, "First"), (3, 1, "Second"), (13, 3, "Third `part`")]


def test_a_text_without_headings_has_none() -> None:
    assert list(headings("Just text.")) == []
