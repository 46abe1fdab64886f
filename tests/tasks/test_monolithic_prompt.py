"""Replies with everything in them, as models give them."""

import pytest

from tasks.monolithic_prompt import fields_of


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ('{"category": "app", "hand_over": false}', {"category": "app", "hand_over": "false"}),
        ('Sure!\n```json\n{"category": "app"}\n```\nDone.', {"category": "app"}),
        ('{"answer": "two\nlines", "others": []}', {"answer": "two\nlines"}),
        ('{"category": "app",}', {}),
        ("category: app", {}),
        ("[1]", {}),
        ("", {}),
    ],
)
def test_a_reply_is_read_where_it_is_an_object_at_all(text: str, fields: dict[str, str]) -> None:
    assert fields_of(text) == fields
