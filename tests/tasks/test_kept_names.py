"""Arguments that name something kept know what there is."""

from typing import Annotated

import pytest
from pydantic import Field

from tasks.json_schemas import KEPT
from tasks.kept_corpora import add_records
from tasks.kept_names import kept_names, with_names
from tasks.tool_calls import argument_faults
from tasks.tools import tool
from tests.tasks.sample_tools import tell
from tests.tasks.test_kept_corpora import corpus

pytestmark = pytest.mark.usefixtures("database")

Corpus = Annotated[str, Field(description="Which.", json_schema_extra={KEPT: "corpus"})]


@tool()
async def read(corpus: Corpus, most: int = 3) -> str:
    """Read a corpus."""
    return corpus


@tool()
async def peek(
    corpus: Annotated[str | None, Field(json_schema_extra={KEPT: "corpus"})] = None,
) -> str:
    """Read a corpus, or nothing."""
    return corpus or ""


async def test_a_tool_of_whose_kind_nothing_is_kept_is_not_offered() -> None:
    assert [each.name for each in await with_names([read, tell])] == ["tell"]


async def test_where_it_can_do_without_it_is() -> None:
    assert [each.name for each in await with_names([peek])] == ["peek"]


async def test_a_name_that_is_none_does_not_fit() -> None:
    await add_records("support", corpus({"id": "a"}))
    await add_records("sales", corpus({"id": "a"}))
    assert await kept_names("corpus") == ("sales", "support")
    [named, other] = await with_names([read, peek])
    assert argument_faults(named, {"corpus": "support"}) == []
    assert argument_faults(other, {}) == argument_faults(other, {"corpus": None}) == []
    for each in (named, other):
        [fault] = argument_faults(each, {"corpus": "tickets"})
        assert "'sales' or 'support'" in fault
    assert named.schema.arguments["properties"]["corpus"]["enum"] == ["sales", "support"]
    assert named.schema.arguments["properties"]["corpus"]["description"] == "Which."
    assert named.signature == "read(corpus: sales|support, most?: integer) -> text"
    assert await named.run(corpus="support") == "support"
