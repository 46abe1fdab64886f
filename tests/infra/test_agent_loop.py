"""LangChain's loop, told by others what to say and what calls come to."""

from typing import Any

import pytest

from infra.agent_loop import AgentLoop
from infra.messages import Message, ToolCall, ToolSchema, Turn

X = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
TOOLS = [ToolSchema("read", "Reads.", X), ToolSchema("write", "Writes.", X)]


def call(tool: str, x: int, number: int = 1) -> ToolCall:
    return ToolCall(tool=tool, arguments={"x": x}, id=f"c{number}")


class Scripted:
    """Says turns in order, and notes what it was shown and what was carried out."""

    def __init__(self, *turns: Turn) -> None:
        self.turns = [*turns]
        self.shown: list[tuple[Message, ...]] = []
        self.carried: list[tuple[str, Any]] = []

    async def say(self, messages: tuple[Message, ...]) -> Turn:
        self.shown.append(messages)
        return self.turns.pop(0)

    async def carry_out(self, asked: ToolCall) -> str:
        self.carried.append((asked.tool, asked.arguments["x"]))
        if asked.arguments["x"] < 0:
            raise ConnectionError("away")
        return f"result {asked.arguments['x']}"

    def loop(self) -> AgentLoop:
        return AgentLoop(self.say, self.carry_out, TOOLS, lambda c: c.tool == "write", 5)


async def test_calls_are_carried_out_until_there_is_an_answer() -> None:
    script = Scripted(Turn(calls=(call("read", 1), call("read", 2, 2))), Turn(text="Three."))
    stop = await script.loop().begin()
    assert (stop.answer, stop.waiting) == ("Three.", ())
    assert sorted(script.carried) == [("read", 1), ("read", 2)]
    [asked, first, second] = script.shown[1]
    assert [each.id for each in asked.calls] == ["c1", "c2"]
    assert (first.role, first.content, first.answers) == ("tool", "result 1", "c1")
    assert second.answers == "c2"


async def test_a_call_that_is_gated_waits_and_nothing_of_its_turn_is_done() -> None:
    script = Scripted(Turn(calls=(call("read", 1), call("write", 2, 2))), Turn(text="Done."))
    loop = script.loop()
    stop = await loop.begin()
    assert [each.arguments for each in stop.waiting] == [{"x": 2}]
    assert script.carried == []
    assert (await loop.decide([None])).answer == "Done."
    assert sorted(script.carried) == [("read", 1), ("write", 2)]


async def test_a_call_that_is_refused_is_not_made_and_the_words_are_shown() -> None:
    script = Scripted(Turn(calls=(call("write", 1), call("write", 2, 2))), Turn(text="One."))
    loop = script.loop()
    await loop.begin()
    await loop.decide(["Not today.", None])
    assert script.carried == [("write", 2)]
    assert any("Not today." in message.content for message in script.shown[1])


async def test_a_tool_that_was_not_offered_is_answered_by_the_loop() -> None:
    script = Scripted(Turn(calls=(call("delete_all", 1),)), Turn(text="I cannot."))
    assert (await script.loop().begin()).answer == "I cannot."
    assert script.carried == []
    assert "delete_all is not a valid tool" in script.shown[1][1].content


async def test_what_is_raised_on_the_way_comes_out_as_it_is() -> None:
    script = Scripted(Turn(calls=(call("read", -1),)))
    with pytest.raises(ConnectionError, match="away"):
        await script.loop().begin()


async def test_it_goes_on_after_words_to_its_answer() -> None:
    script = Scripted(Turn(text="One."), Turn(text="Two."))
    loop = script.loop()
    await loop.begin()
    assert (await loop.hear("Count again.")).answer == "Two."
    assert [m.content for m in script.shown[1]] == ["One.", "Count again."]
