"""Tools: typed functions, and what follows from their types."""

from collections.abc import Callable
from typing import Annotated, Any

import pytest
from pydantic import Field

from infra.errors import InputError, SettingsError
from infra.settings import get_settings
from tasks.tools import Approval, chosen, registry, tool, tools_text
from tests.tasks import sample_tools


@tool(model_calls=2)
async def count(
    words: Annotated[list[str], Field(description="What to count.")], most: int = 3
) -> dict[str, int]:
    """Count words,
    each."""
    return dict.fromkeys(words[:most], 1)


def test_a_tool_is_what_its_function_says() -> None:
    assert (count.name, count.description) == ("count", "Count words, each.")
    assert count.signature == "count(words: [text], most?: integer) -> object"
    assert count.schema.arguments["required"] == ["words"]
    assert count.schema.arguments["additionalProperties"] is False
    assert tools_text([count]).endswith("\n  words: What to count.")
    assert not count.writes


def test_results_are_told_by_their_shape() -> None:
    assert sample_tools.list_things.signature == (
        "list_things(most?: integer) -> [{name: text, size: integer, tags: [text]}]"
    )
    assert "{id: integer, found: boolean, owner: {name" in sample_tools.look_up.signature


def test_the_approval_is_no_argument_that_a_model_could_give() -> None:
    assert sample_tools.send.writes
    assert {*sample_tools.send.schema.arguments["properties"]} == {"to", "body"}


async def _without_docstring(a: int) -> int:
    return a


async def _without_types(a, b: int) -> int:  # type: ignore[no-untyped-def]
    """Add."""
    return int(a + b)


def _waits_for_nothing(a: int) -> int:
    """Add."""
    return a


async def _without_result(a: int):  # type: ignore[no-untyped-def]
    """Add."""


async def _sends(to: str) -> str:
    """Send."""
    return to


async def _reads(to: str, approval: Approval) -> str:
    """Read."""
    return to


@pytest.mark.parametrize(
    ("function", "effect", "said"),
    [
        (_without_docstring, "read", "needs a docstring"),
        (_without_types, "read", "annotations"),
        (_without_result, "read", "annotations"),
        (_waits_for_nothing, "read", "a tool is an async function"),
        (_sends, "write", "takes `approval: Approval` if it writes"),
        (_reads, "read", "takes `approval: Approval` if it writes"),
    ],
)
def test_a_function_that_cannot_be_a_tool_is_refused(
    function: Callable[..., Any], effect: Any, said: str
) -> None:
    with pytest.raises(TypeError, match=said):
        tool(effect=effect)(function)


def test_further_tools_are_found_in_the_modules_of_the_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATTERNS_TOOLS", '["tests.tasks.sample_tools"]')
    get_settings.cache_clear()
    assert {"count", "look_up", "send"} <= registry(count).keys()


@pytest.mark.parametrize(
    ("modules", "said"),
    [
        ('["no.such.module"]', r"no\.such\.module cannot be imported"),
        ('["json"]', "json has no tool"),
        ('["tests.tasks.sample_tools", "tests.tasks.test_tools"]', "Two tools have the name tell"),
    ],
)
def test_modules_that_have_none_are_refused(
    monkeypatch: pytest.MonkeyPatch, modules: str, said: str
) -> None:
    monkeypatch.setenv("PATTERNS_TOOLS", modules)
    get_settings.cache_clear()
    with pytest.raises(SettingsError, match=said):
        registry()


@tool()
async def tell(text: str) -> str:
    """Another tool of that name."""
    return text


def test_tools_are_chosen_by_name() -> None:
    tools = registry(count, sample_tools.look_up)
    assert [*chosen(tools, ["look_up"])] == ["look_up"]
    assert [*chosen(tools, [])] == ["count", "look_up"]
    with pytest.raises(InputError, match=r"no tool 'cuont'\. Did you mean 'count'"):
        chosen(tools, ["cuont"])
