"""An agent at work on a task: each turn of its model and each call of a tool is a step that lasts.

The loop is LangChain's. A model that calls tools natively sees the conversation; one that does not
is asked for its next action by a JSON schema of just the tools there are, with what is done so far.
What a turn and a call came to is kept under exactly what was asked, so a run that starts anew is
told the same, comes to the same place, and repeats nothing; another request finds nothing of it.
"""

import asyncio
import hashlib
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from prefect import task
from pydantic import BaseModel

from infra.agent_loop import AgentLoop, Stop
from infra.errors import BudgetSpent, ModelError, PatternsError, WorkIncomplete
from infra.messages import Message, ToolCall, Turn
from infra.providers import context_of, is_local, model_of
from infra.settings import get_settings
from tasks.approvals import decisions, require_reviewable, reviewable, undraftable
from tasks.asking import ask
from tasks.progress import Progress
from tasks.references import as_text
from tasks.replies import Critique, TaskPlan, action_of
from tasks.review_output import Refused, Released, Reviewable
from tasks.runs import RETRIED
from tasks.steps import once
from tasks.task_plans import TaskRequest, plan_lines
from tasks.tool_calls import Call, Outcome, argument_faults, call_tool
from tasks.tools import Approval, Tool, chosen, tools_text

_REPEATS = 3  # of one call, after which the agent goes round in a circle
_SHARE = 2.0  # characters of results for each token of the model's context
_ANSWER = "answer"
_MADE_ALREADY = "This call was made already; its result is above. Use it, or answer."


@dataclass(frozen=True)
class Done:
    """A call that was carried out, or refused, in the turn of that number."""

    turn: int
    call: Call
    outcome: Outcome
    approved_by: int | None = None

    @property
    def line(self) -> str:
        """The call in a line."""
        told = (f"{name}={_short(value)}" for name, value in self.call.arguments.items())
        return f"{self.call.tool}({', '.join(told)})"


@dataclass
class Agent:
    """Making one raises SettingsError where a tool of its plan writes and nobody could approve it.

    ``plan``: whose tools are the only ones; ``done``: calls, in order; ``answer``: the last one;
    ``stopped``: why there is none, when work has ended without."""

    request: TaskRequest
    plan: TaskPlan
    offered: Mapping[str, Tool]
    done: list[Done] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    answer: str = ""
    critique: Critique | None = None
    turns: int = 0
    stopped: PatternsError | None = None
    is_finished: bool = False
    following: Progress | None = None
    _decided: dict[str, Approval | str] = field(default_factory=dict)
    _stopped: list[Call] = field(default_factory=list)
    _waiting: dict[str, Call] = field(default_factory=dict)
    _asked: dict[str, int] = field(default_factory=dict)
    _worked: float = 0.0

    def __post_init__(self) -> None:
        names = [*dict.fromkeys(step.tool for step in self.plan.steps)]
        self.tools = chosen(self.offered, names)
        require_reviewable(self.tools.values())
        schemas = [each.schema for each in self.tools.values()]
        most = self.request.max_turns
        self._loop = AgentLoop(self._say, self._carry_out, schemas, self._waits, most)

    @property
    def reviews(self) -> list[Reviewable]:
        """The calls that wait for people."""
        return [
            reviewable(
                self.tools[call.tool], call, author=self.request.requester, why=self.request.task
            )
            for call in self._waiting.values()
        ]

    async def begin(self) -> None:
        """Work until there is an answer, calls wait, or a limit is reached."""
        await self._work(self._loop.begin())

    async def decide(self, outcomes: list[Released | Refused]) -> None:
        """Go on after what people decided on the calls that waited, in their order."""
        self._decided |= decisions(self._waiting, outcomes)
        self._waiting = {}
        await self._work(self._go_on())

    async def heed(self, critique: Critique) -> None:
        """Take what the critic says: go on with it, where the answer is not good, as often as the
        request allows; else that was the end."""
        self.critique = critique
        again = critique.verdict != "good" and len(self.remarks) < self.request.max_revisions
        if again:
            self.remarks.append(critique.reason)
            await self._work(self._loop.hear(critique.reason))
        self.is_finished = self.is_finished or not again

    def evidence(self, room: int) -> str:
        """What was done and what it came to, in at most about so many characters."""
        each = max(200, room // max(1, len(self.done)))
        told = [
            f"{number}. {done.line}\n{_cut(_said(done.outcome), each)}"
            for number, done in enumerate(self.done, 1)
        ]
        return "\n".join(told) or "nothing yet"

    @property
    def room(self) -> int:
        """Characters of results that the model is shown at once."""
        return int(context_of(model_of("strong")) * _SHARE)

    async def _work(self, loop: Awaitable[Stop]) -> None:
        """Let the loop go on, within the time that is left; what ends it for good is kept."""
        started, left = time.monotonic(), self.request.max_minutes * 60 - self._worked
        try:
            async with asyncio.timeout(left) as limit:
                stop = await loop
                while not await self._needs_people(stop):
                    stop = await self._go_on()
        except TimeoutError:
            if not limit.expired():
                raise
            said = f"The task took longer than {self.request.max_minutes:g} minutes."
            self.stopped = BudgetSpent(f"{said} Allow more with --max-minutes.")
        except (BudgetSpent, WorkIncomplete, ModelError) as error:
            if error.transient:
                raise
            self.stopped = error
        else:
            self.answer = stop.answer
        self._worked += time.monotonic() - started
        self.is_finished = self.stopped is not None

    async def _needs_people(self, stop: Stop) -> bool:
        """Whether the loop has come to an answer, or to calls that a person is asked about; calls
        that cannot even be shown to one are refused here."""
        self._stopped = [Call(tool=c.tool, arguments=c.arguments) for c in stop.waiting]
        self._waiting = {call.key: call for call in self._stopped}
        for key, call in [*self._waiting.items()]:
            if why := await undraftable(self.tools[call.tool], call, self.request.task):
                self._decided[key] = why
                del self._waiting[key]
        return not self._stopped or bool(self._waiting)

    async def _go_on(self) -> Stop:
        """Go on with the calls at which the loop has stopped, all of which are decided now."""
        found = [self._decided[call.key] for call in self._stopped]
        refusals = [each if isinstance(each, str) else None for each in found]
        for call, why in zip(self._stopped, refusals, strict=True):
            if why:
                self.done.append(Done(self.turns, call, Outcome(failed=why)))
        return await self._loop.decide(refusals)

    def _waits(self, asked: ToolCall) -> bool:
        """Whether a person has to approve a call before it is made: it writes, and could be."""
        tool, call = self.tools[asked.tool], Call(tool=asked.tool, arguments=asked.arguments)
        faulty = argument_faults(tool, asked.arguments)
        return tool.writes and not faulty and call.key not in self._decided

    async def _say(self, turns: tuple[Message, ...]) -> Turn:
        self.turns += 1
        if self.turns > self.request.max_turns:
            raise BudgetSpent(
                f"There was no answer after {self.request.max_turns} turns. Allow more with "
                "--max-turns, or ask for less."
            )
        way = _native_turn if calls_natively() else _schema_turn
        if self.following:
            await self.following.advance()
        turn = await model_turn(self.turns, _asked(self, turns), lambda: way(self, turns))
        for asked in turn.calls:
            if asked.tool not in self.tools:  # the loop says so to the model
                call = Call(tool=asked.tool, arguments=asked.arguments)
                self.done.append(Done(self.turns, call, Outcome(failed="There is no such tool.")))
        return turn

    async def _carry_out(self, asked: ToolCall) -> str:
        """What a call came to, for the model to read."""
        call = Call(tool=asked.tool, arguments=asked.arguments)
        self._asked[call.key] = self._asked.get(call.key, 0) + 1
        if self._asked[call.key] > _REPEATS:
            raise WorkIncomplete(
                f"The model makes one call again and again: {call.tool}. Word the task in smaller "
                "steps, or use a stronger model."
            )
        if self._asked[call.key] > 1:
            return _MADE_ALREADY
        if len(self.done) >= self.request.max_tool_calls:
            raise BudgetSpent(
                f"There was no answer after {self.request.max_tool_calls} calls of tools. Allow "
                "more with --max-tool-calls, or ask for less."
            )
        approval = self._decided.get(call.key)
        if isinstance(approval, str):
            return approval
        return await self._called(call, approval)

    async def _called(self, call: Call, approval: Approval | None) -> str:
        tool = self.tools[call.tool]
        place = len(self.done)
        self.done.append(Done(self.turns, call, Outcome(failed="it was not finished")))
        if faults := argument_faults(tool, call.arguments):
            outcome = Outcome(failed=f"The arguments do not fit: {'; '.join(faults)}")
        else:
            outcome = await call_tool(tool, call, approval)
        review = approval.review if approval else None
        self.done[place] = Done(self.turns, call, outcome, review)
        return _cut(_said(outcome), self.room // 4)


@task(name="model turn", task_run_name="model turn {number}", **RETRIED)
async def model_turn(number: int, asked: str, make: Callable[[], Awaitable[Turn]]) -> Turn:
    """What the model does next; made once for a run and exactly what it is asked (SHA-256)."""
    return await once(f"turn-{number}-{asked[:32]}", make, Turn)


def _asked(agent: Agent, turns: tuple[Message, ...]) -> str:
    """SHA-256 (hex) of all that a turn depends on."""
    said = [agent.request.task, agent.request.material, plan_lines(agent.plan)]
    told = [*said, *agent.tools, *agent.remarks, *(message.as_json for message in turns)]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def calls_natively() -> bool:
    """Whether the model asks for tools by its provider's own means."""
    chosen_way = get_settings().tool_calls
    return chosen_way == "native" if chosen_way else not is_local(model_of("strong"))


async def _native_turn(agent: Agent, turns: tuple[Message, ...]) -> Turn:
    schemas = tuple(each.schema for each in agent.tools.values())
    inputs = {name: text for name, text in _inputs(agent).items() if name != "tools"}
    room = agent.room - sum(map(len, inputs.values()))
    reply = await ask("use_tools", inputs, tools=schemas, turns=_fitting(turns, room))
    assert isinstance(reply.value, Turn)
    return reply.value


async def _schema_turn(agent: Agent, turns: tuple[Message, ...]) -> Turn:
    """The next action by a schema: one small question, with what is done so far."""
    room = agent.room - sum(map(len, _inputs(agent).values()))
    done = agent.evidence(max(1000, room))
    notes = [_last_word(turns), *(f"A reviewer says of your answer: {r}" for r in agent.remarks)]
    inputs = {**_inputs(agent), "done": "\n".join(filter(None, [done, *notes]))}
    fills = action_of({name: each.arguments for name, each in agent.tools.items()})
    reply = await ask("choose_action", inputs, fills=fills)
    action: BaseModel = getattr(reply.value, "action")  # noqa: B009
    tool: str = getattr(action, "tool")  # noqa: B009
    if tool == _ANSWER:
        return Turn(text=getattr(action, "text"))  # noqa: B009
    # Only what was said: a default that nobody named is none of the call.
    said: dict[str, Any] = action.model_dump(mode="json", exclude_unset=True)["arguments"]
    return Turn(calls=(ToolCall(tool=tool, arguments=said, id=f"call-{agent.turns}"),))


def _inputs(agent: Agent) -> dict[str, str]:
    return {
        "tools": tools_text(agent.tools.values()),
        "plan": plan_lines(agent.plan),
        "task": agent.request.task,
        "material": agent.request.material or "none",
    }


def _fitting(turns: tuple[Message, ...], room: int) -> tuple[Message, ...]:
    """A conversation whose results of tools are cut to what fits into so many characters."""
    results = [each for each in turns if each.role == "tool"]
    most = max(200, room // max(1, len(results)))
    return tuple(
        replace(each, content=_cut(each.content, most)) if each in results else each
        for each in turns
    )


def _last_word(turns: tuple[Message, ...]) -> str:
    """What the loop itself has answered to the last call, where that is not among what was done."""
    last = turns[-1].content if turns and turns[-1].role == "tool" else ""
    return last if last == _MADE_ALREADY else ""


def _said(outcome: Outcome) -> str:
    return f"It failed: {outcome.failed}" if outcome.failed else as_text(outcome.value)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}\n… ({len(text):,} characters in all)"


def _short(value: Any) -> str:
    said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return said if len(said) <= 120 else f"{said[:120]}…"
