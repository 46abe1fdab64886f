"""References: what they stand for, and what their schemas say before there is a value."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.references import Reference, as_text, references_in, resolved, schema_at

SCOPE = {
    "things": [{"name": "a", "tags": ["x", "y"]}, {"name": "b", "tags": []}],
    "look": {"id": 7, "found": True, "note": None, "lines": ["a\nb"]},
    "deep": {"said": "a\nb"},
    "params": {"count": 2},
    "left": [None, "x", None, "y"],
    "nothing": [None],
}


@pytest.mark.parametrize(
    ("value", "stands_for"),
    [
        ("${look.id}", 7),
        ("${things}", SCOPE["things"]),
        ("${things[1].name}", "b"),
        ("${things[*].name}", ["a", "b"]),
        ("${things[*].tags[*]}", [["x", "y"], []]),
        (" ${look.found} ", True),
        ("id ${look.id} of ${things[0].name}", "id 7 of a"),
        ("note: ${look.note}", "note: none"),
        ("${things[0]}!", "name: a\ntags:\n- x\n- y!"),
        ({"a": ["${look.id}", 1]}, {"a": [7, 1]}),
        ("only ${left}", "only - x\n- y"),
        ("${look.lines}", ["a\nb"]),
        ("it: ${look.lines}", "it: - a\n  b"),
        ("it: ${deep}", "it: said: |-\n  a\n  b"),
        ("of ${nothing}", "of none"),
        ("no reference", "no reference"),
        ("$look ${", "$look ${"),
        (3, 3),
    ],
)
def test_a_reference_stands_for_its_value(value: Any, stands_for: Any) -> None:
    assert resolved(value, SCOPE) == stands_for


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("${nowhere.x}", "there is no nowhere"),
        ("${look.title}", "there is no 'title' in the fields id, found, note, lines"),
        ("${things[5].name}", "there is no 5 in 2 elements"),
        ("${look.id.x}", "there is no 'x' in 7"),
        ("${things[@].name}", "only a mapped step has a place"),
        ("${look.note.x}", "there is no 'x' in None"),
    ],
)
def test_what_is_not_there_is_said_in_words(value: str, said: str) -> None:
    with pytest.raises(LookupError, match=said):
        resolved(value, SCOPE)


def test_the_same_place_in_another_list() -> None:
    assert resolved("${things[@].name}", {**SCOPE, "@": 1}) == "b"


def test_references_are_found_however_deep() -> None:
    found = references_in({"a": ["see ${x.y} and ${z}", {"b": "${w[0]}"}], "c": 1})
    assert [each.text for each in found] == ["x.y", "z", "w[0]"]


@pytest.mark.parametrize(
    "text", ["", "1a", "a.", "a..b", "a[b]", "a[-1]", "a b", "A", "a[*", "${a}"]
)
def test_what_is_no_reference_is_not_well_formed(text: str) -> None:
    assert not Reference(text).is_well_formed


SCHEMA = {
    "$defs": {"T": {"type": "object", "properties": {"n": {"type": "integer"}}}},
    "type": "object",
    "properties": {
        "list": {"type": "array", "items": {"$ref": "#/$defs/T"}},
        "maybe": {"anyOf": [{"$ref": "#/$defs/T"}, {"type": "null"}]},
        "any": {},
        "map": {"type": "object", "additionalProperties": {"type": "string"}},
        "pair": {"type": "array", "prefixItems": [{"type": "string"}, {"type": "boolean"}]},
    },
}


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (("list", 0, "n"), "integer"),
        (("list", "@", "n"), "integer"),
        (("maybe", "n"), "integer"),
        (("map", "whatever"), "string"),
        (("pair", 1), "boolean"),
    ],
)
def test_a_path_is_followed_in_a_schema(path: tuple[str | int, ...], kind: str) -> None:
    assert schema_at(SCHEMA, path)["type"] == kind


def test_each_element_makes_a_list() -> None:
    found = schema_at(SCHEMA, ("list", "*", "n"))
    assert (found["type"], found["items"]["type"]) == ("array", "integer")


def test_where_anything_may_lie_anything_may_follow() -> None:
    assert schema_at(SCHEMA, ("any", "x", 3, "*")) == {}


@pytest.mark.parametrize("path", [("no",), ("list", "n"), ("list", 0, "m"), ("pair", 2)])
def test_what_no_value_has_is_refused(path: tuple[str | int, ...]) -> None:
    with pytest.raises(LookupError):
        schema_at(SCHEMA, path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


@given(JSON)
def test_any_value_can_be_told_as_text_and_referred_to(value: Any) -> None:
    assert isinstance(as_text(value), str)
    assert resolved("${it}", {"it": value}) == value
