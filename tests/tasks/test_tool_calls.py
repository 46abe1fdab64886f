"""Calls of tools: what they come to, and what ends a run instead."""

import asyncio

import pytest

from infra.errors import BudgetSpent, DatabaseUnavailable, InputError, ModelRejected, PatternsError
from tasks.tool_calls import Call, argument_faults, outcome_of
from tasks.tools import Approval, tool
from tests.tasks.sample_tools import add, flood, hang, look_up, send


async def test_a_result_is_json() -> None:
    found = await outcome_of(look_up, {"name": "abc"})
    assert (found.value, found.failed) == ({"id": 3, "found": True, "owner": None}, "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "numbers: Field required"),
        ({"numbers": "x"}, "numbers: Input should be a valid list"),
        ({"numbers": [1, "x"]}, "numbers.1: Input should be a valid integer"),
        ({"numbers": [1], "mdoe": "sum"}, "mdoe: Extra inputs are not permitted"),
    ],
)
async def test_arguments_that_do_not_fit_call_nothing(
    arguments: dict[str, object], said: str
) -> None:
    assert said in argument_faults(add, arguments)[0]
    assert said in (await outcome_of(add, arguments)).failed


async def test_a_tool_that_hangs_is_ended() -> None:
    assert "took longer than 0.2 seconds" in (await outcome_of(hang, {})).failed


async def test_a_result_that_is_too_large_is_no_result() -> None:
    found = await outcome_of(flood, {})
    assert (found.value, "bytes. Ask for less" in found.failed) == (None, True)


@tool()
async def odd(text: str) -> str:
    """Return what it has not promised."""
    return {"a": object()}  # type: ignore[return-value]


async def test_a_result_that_is_no_json_is_the_tools_failure() -> None:
    assert "Error" in (await outcome_of(odd, {"text": "x"})).failed


def raising(error: BaseException):  # type: ignore[no-untyped-def]
    @tool()
    async def raises() -> str:
        """Raise."""
        raise error

    return raises


@pytest.mark.parametrize(
    "error", [InputError("bad"), ValueError("bad"), KeyError("bad"), TimeoutError("bad")]
)
async def test_what_a_tool_says_of_a_call_is_its_outcome(error: Exception) -> None:
    assert "bad" in (await outcome_of(raising(error), {})).failed


@pytest.mark.parametrize(
    "error", [BudgetSpent("no"), DatabaseUnavailable("no"), ModelRejected("no")]
)
async def test_what_no_call_can_get_past_ends_the_run(error: PatternsError) -> None:
    with pytest.raises(type(error)):
        await outcome_of(raising(error), {})


async def test_being_cancelled_is_no_outcome() -> None:
    with pytest.raises(asyncio.CancelledError):
        await outcome_of(raising(asyncio.CancelledError()), {})


async def test_a_call_that_writes_is_never_made_without_an_approval() -> None:
    with pytest.raises(RuntimeError, match="nobody has approved it"):
        await outcome_of(send, {"to": "a", "body": "b"})
    done = await outcome_of(send, {"to": "a", "body": "b"}, Approval("key", "text", 1))
    assert done.value == {"sent": True, "to": "a"}


def test_the_same_call_has_the_same_key_and_another_has_another() -> None:
    one = Call(tool="t", arguments={"a": 1, "b": 2})
    assert one.key == Call(tool="t", arguments={"b": 2, "a": 1}).key
    others = [Call(tool="t", arguments={"a": 1}), Call(tool="u", arguments={"a": 1, "b": 2})]
    assert len({one.key, *(each.key for each in others)}) == 3
