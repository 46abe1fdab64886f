"""JSON schemas as models and people read them."""

from tasks.json_schemas import KEPT, inlined, shape


def test_a_schema_is_written_out_whole_and_one_that_holds_itself_is_anything() -> None:
    tree = {"type": "object", "properties": {"next": {"$ref": "#/$defs/T"}}, "title": "T"}
    found = inlined({"$ref": "#/$defs/T", "description": "A tree.", "$defs": {"T": tree}})
    assert found == {
        "type": "object",
        "properties": {"next": {}},
        "description": "A tree.",
    }


def test_what_a_model_needs_not_is_left_out_but_fields_may_be_called_so() -> None:
    field = {"type": "string", "title": "Title", "default": "x", KEPT: "corpus"}
    schema = {"type": "object", "title": "A", "properties": {"title": field, "default": field}}
    text = {"type": "string"}
    assert inlined(schema) == {"type": "object", "properties": {"title": text, "default": text}}


def test_a_schema_is_told_in_few_words_and_without_null() -> None:
    schema = {"anyOf": [{"type": ["integer", "null"]}, {"enum": ["a", "b"]}, {"type": "null"}]}
    assert shape(schema) == "integer or a|b"
    assert shape({}) == "anything"
