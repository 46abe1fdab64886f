"""LangChain's agent loop (`create_agent`), with both of its doors given from outside.

The loop is LangChain's: model turn, tool calls at once, model turn, until there is an answer, with
a stop before calls that a person has to approve. Who says the next turn and who carries out a call
is the caller's affair: each of them can be kept, and is charged where all others are.
"""

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware, InterruptOnConfig
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import StructuredTool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from infra.messages import Message, ToolCall, ToolSchema, Turn

Say = Callable[[tuple[Message, ...]], Awaitable[Turn]]
Carry = Callable[[ToolCall], Awaitable[str]]
Gated = Callable[[ToolCall], bool]

_BEGIN = "Begin."  # what the loop is started with; what there is to do, the speaker knows


@dataclass(frozen=True)
class Stop:
    """Where the loop has come to: calls that wait for a person, or, without any, the answer."""

    answer: str
    waiting: tuple[ToolCall, ...] = ()


class AgentLoop:
    """One conversation of a model with tools, in this process: another one that is told the same
    comes to the same place."""

    def __init__(
        self,
        say: Say,
        carry_out: Carry,
        tools: Sequence[ToolSchema],
        gated: Gated,
        most_turns: int,
    ) -> None:
        offered = [_tool(each, carry_out) for each in tools]
        gate = InterruptOnConfig(
            allowed_decisions=["approve", "reject"],
            when=lambda request: gated(_call(request.tool_call)),
        )
        self._agent: Any = create_agent(
            _Speaker(say=say),
            offered,
            middleware=[HumanInTheLoopMiddleware({each.name: gate for each in tools})],
            checkpointer=InMemorySaver(),
        )
        # The caller's own limits come first; this one only ends what goes round without them.
        self._config = {"configurable": {"thread_id": "1"}, "recursion_limit": 10 * most_turns + 50}

    async def begin(self) -> Stop:
        """Work until there is an answer, or calls wait."""
        return await self._go({"messages": [HumanMessage(_BEGIN)]})

    async def decide(self, refusals: Sequence[str | None]) -> Stop:
        """Go on with the calls that waited: None lets a call be made, words say why it is not."""
        decisions = [
            {"type": "approve"} if each is None else {"type": "reject", "message": each}
            for each in refusals
        ]
        return await self._go(Command(resume={"decisions": decisions}))

    async def hear(self, words: str) -> Stop:
        """Go on after the answer, with what was said to it."""
        return await self._go({"messages": [HumanMessage(words)]})

    async def _go(self, given: Any) -> Stop:
        state = await self._agent.ainvoke(given, self._config)
        if interrupts := state.get("__interrupt__"):
            asked = interrupts[0].value["action_requests"]
            return Stop("", tuple(ToolCall(tool=a["name"], arguments=a["args"]) for a in asked))
        return Stop(str(state["messages"][-1].text))


class _Speaker(BaseChatModel):
    """A chat model that asks somebody else for its turns."""

    say: Say

    @property
    def _llm_type(self) -> str:
        return "speaker"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        """The one that speaks knows the tools."""
        return self

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        raise NotImplementedError("the loop is async")

    async def _agenerate(
        self, messages: list[BaseMessage], *args: Any, **kwargs: Any
    ) -> ChatResult:
        said = tuple(map(_ours, messages))
        turn = await self.say(said[1:])  # without the words that it was started with
        calls = [{"name": c.tool, "args": c.arguments, "id": c.id} for c in turn.calls]
        message = AIMessage(turn.text, tool_calls=calls)
        return ChatResult(generations=[ChatGeneration(message=message)])


def _tool(schema: ToolSchema, carry_out: Carry) -> StructuredTool:
    async def carried_out(**arguments: Any) -> str:
        return await carry_out(ToolCall(tool=schema.name, arguments=arguments))

    return StructuredTool(
        name=schema.name,
        description=schema.description,
        args_schema=dict(schema.arguments),
        coroutine=carried_out,
    )


def _call(said: Any) -> ToolCall:
    return ToolCall(tool=said["name"], arguments=said["args"], id=said["id"] or "")


def _ours(message: BaseMessage) -> Message:
    match message:
        case AIMessage():
            return Message("assistant", str(message.text), tuple(map(_call, message.tool_calls)))
        case ToolMessage():
            content = message.content
            text = content if isinstance(content, str) else json.dumps(content)
            return Message("tool", text, answers=message.tool_call_id)
    return Message("user", str(message.text))
