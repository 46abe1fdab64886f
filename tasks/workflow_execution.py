"""Carrying out a workflow: each step as soon as those before it are done, each call once for a run.

What was done is kept under the call itself, not under the step's name: a run that starts anew, or
goes on with another plan, finds what is finished, and calls nothing twice.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from tasks.approvals import decisions, reviewable, undraftable
from tasks.progress import Progress
from tasks.references import SAME, resolved, whole_reference
from tasks.review_output import Refused, Released, Reviewable
from tasks.tool_calls import Call, Outcome, call_tool
from tasks.tools import Approval, Tool
from tasks.workflows import APPROVE, ITEM, PARAMS, Condition, Step, Workflow

State = Literal["done", "skipped", "failed", "refused", "blocked"]
_LOST = ("failed", "refused", "blocked")  # states after which what needs it is blocked


class StepResult(BaseModel):
    """What became of a step; ``skipped``: its condition does not hold, or its input was skipped;
    ``blocked``: what it needs failed or was refused. ``value``: its result as JSON, of a mapped one
    a list, with null for elements that are left out; ``why``: it is not done, or not all of it;
    ``began``, ``ended``: seconds after the start of this execution."""

    model_config = ConfigDict(frozen=True)

    state: State
    value: Any = None
    why: str = ""
    calls: int = 0
    began: float = 0.0
    ended: float = 0.0


@dataclass
class Execution:
    """A workflow at work. ``results``: of the steps that have one, by their names."""

    goal: str
    workflow: Workflow
    tools: Mapping[str, Tool]
    params: Mapping[str, Any]
    author: str = ""
    most_items: int = 20
    following: Progress | None = None
    results: dict[str, StepResult] = field(default_factory=dict)
    _decided: dict[str, Approval | str] = field(default_factory=dict)
    _undraftable: dict[str, str] = field(default_factory=dict)
    _waiting: dict[str, Call] = field(default_factory=dict)
    _running: dict[str, "asyncio.Task[Outcome]"] = field(default_factory=dict)
    _started: float = field(default_factory=time.perf_counter)

    async def advance(self) -> list[Reviewable]:
        """Carry out all that can be; the calls that then wait for people, none at the end.

        Independent steps go on when one has failed. Raises what says that the run cannot go on now;
        what was finished by then is kept.
        """
        working = dict[asyncio.Task[Any], str]()
        try:
            while True:
                for step in self._ready(set(working.values())):
                    working[asyncio.create_task(self._carried_out(step))] = step.id
                if not working and not await self._gave_up():
                    break
                for each in await self._first_done(working):
                    self.results[working.pop(each)] = each.result()
        finally:
            left = [*working, *(each for each in self._running.values() if not each.done())]
            for each in left:
                each.cancel()
            await asyncio.gather(*left, return_exceptions=True)
        return self._reviews()

    def decide(self, outcomes: list[Released | Refused]) -> None:
        """Take what people decided on the calls that waited, in their order."""
        self._decided |= decisions(self._waiting, outcomes)
        self._waiting = {}

    @property
    def failed(self) -> dict[str, str]:
        """Why steps failed, by their names; without those that wait for them."""
        return {name: r.why for name, r in self.results.items() if r.state == "failed"}

    @property
    def not_done(self) -> dict[str, str]:
        """Why steps were left out, refused or blocked, by their names."""
        left = ("skipped", "refused", "blocked")
        return {name: r.why for name, r in self.results.items() if r.state in left}

    @property
    def values(self) -> dict[str, Any]:
        """Results by step, and the parameters: what references stand for."""
        return {name: r.value for name, r in self.results.items()} | {PARAMS: dict(self.params)}

    async def _first_done(self, working: "Iterable[asyncio.Task[Any]]") -> set[asyncio.Task[Any]]:
        """Wait until one of them is done; those that are. None, where nothing is at work."""
        if not working:
            return set()
        done, _ = await asyncio.wait(working, return_when=asyncio.FIRST_COMPLETED)
        if self.following:
            await self.following.advance(len(done))
        return done

    def _ready(self, at_work: set[str]) -> list[Step]:
        """Steps that can begin. Those that never can get their result here."""
        found = list[Step]()
        for step in self.workflow.steps:
            if step.id in self.results or step.id in at_work:
                continue
            needed = self.workflow.needs(step)
            if not needed <= self.results.keys():
                continue
            if lost := [name for name in sorted(needed) if self.results[name].state in _LOST]:
                why = f"it needs {', '.join(lost)}"
                self.results[step.id] = StepResult(state="blocked", why=why)
                return self._ready(at_work)
            if step.tool != APPROVE or self._is_decided(step):
                found.append(step)
        return found

    def _is_decided(self, approval: Step) -> bool:
        """Whether all calls that a step approves were decided on; those that were not wait now."""
        calls = [call for name in approval.approves for call in self._calls(name)]
        for call in calls:
            if not self._is_settled(call):
                self._waiting[call.key] = call
        return all(map(self._is_settled, calls))

    def _is_settled(self, call: Call) -> bool:
        return call.key in self._decided or call.key in self._undraftable

    async def _gave_up(self) -> bool:
        """Whether a call that waits cannot even be shown to a person: it fails, work goes on."""
        lost = dict[str, str]()
        for key, call in self._waiting.items():
            if why := await undraftable(self.tools[call.tool], call, self.goal):
                lost[key] = why
        self._undraftable |= lost
        for key in lost:
            del self._waiting[key]
        return bool(lost)

    def _reviews(self) -> list[Reviewable]:
        return [
            reviewable(self.tools[call.tool], call, author=self.author, why=self.goal)
            for call in self._waiting.values()
        ]

    def _calls(self, name: str) -> list[Call]:
        """The calls that a step makes. One that cannot be made has none, and fails in its turn."""
        step = self.workflow.by_id[name]
        try:
            scopes = self._scopes(step)
            return [self._call(step, s) for s in scopes if s is not None and self._holds(step, s)]
        except LookupError:
            return []

    def _call(self, step: Step, scope: Mapping[str, Any]) -> Call:
        return Call(tool=step.tool, arguments=resolved(step.arguments, scope))

    def _scopes(self, step: Step) -> list[dict[str, Any] | None]:
        """What references stand for, once for each element; None for one that is left out."""
        scope = self.values
        if step.for_each is None:
            return [scope]
        elements = resolved(step.for_each, scope)
        if elements is None:
            return []
        if not isinstance(elements, list):
            raise LookupError(f"for_each: {step.for_each} is no list")
        if len(elements) > self.most_items:
            raise LookupError(
                f"for_each: {step.for_each} has {len(elements)} elements, and {self.most_items} "
                "are allowed: ask for less, or allow more"
            )
        return [
            None if element is None else {**scope, ITEM: element, SAME: place}
            for place, element in enumerate(elements)
        ]

    def _holds(self, step: Step, scope: Mapping[str, Any]) -> bool:
        return step.when is None or holds(step.when, scope)

    async def _carried_out(self, step: Step) -> StepResult:
        began = time.perf_counter() - self._started
        result = await self._made(step)
        ended = time.perf_counter() - self._started
        return result.model_copy(update={"began": began, "ended": ended})

    async def _made(self, step: Step) -> StepResult:
        if step.tool == APPROVE:
            return StepResult(state="done")
        try:
            scopes = self._scopes(step)
            chosen = [s is not None and self._holds(step, s) for s in scopes]
            pairs = zip(scopes, chosen, strict=True)
            calls = [self._call(step, s) if s is not None and yes else None for s, yes in pairs]
        except LookupError as error:
            return StepResult(state="failed", why=str(error.args[0]))
        if not step.for_each and calls == [None]:
            return StepResult(state="skipped", why="its condition does not hold")
        if needed := self._left_out(step):
            return StepResult(state="skipped", why=f"it needs {needed}, which has no result")
        return await self._called(step, calls)

    def _left_out(self, step: Step) -> str:
        """Steps that were skipped, a result of which is an argument of this one. In the midst of a
        text it is told as none."""
        skipped = {name for name, r in self.results.items() if r.state == "skipped"}
        wholes = map(whole_reference, (step.for_each, *step.arguments.values()))
        return ", ".join(sorted({whole.root for whole in wholes if whole} & skipped))

    async def _called(self, step: Step, calls: list[Call | None]) -> StepResult:
        decided = [self._decided.get(call.key) if call else None for call in calls]
        refused = [each for each in decided if isinstance(each, str)]
        allowed = [
            c if c and not isinstance(d, str) else None for c, d in zip(calls, decided, strict=True)
        ]
        made = [call for call in allowed if call]
        if refused and not made:
            return StepResult(state="refused", why=refused[0])
        outcomes = iter(await asyncio.gather(*map(self._once, made)))
        found = [next(outcomes) if call else None for call in allowed]
        for number, outcome in enumerate(found, 1):
            if outcome and outcome.failed:
                which = f"element {number}: " if step.for_each else ""
                why = f"{which}{step.tool}: {outcome.failed}"
                return StepResult(state="failed", why=why, calls=len(made))
        values = [outcome.value if outcome else None for outcome in found]
        value = values if step.for_each else values[0]
        return StepResult(state="done", value=value, why="; ".join(refused), calls=len(made))

    async def _once(self, call: Call) -> Outcome:
        """The outcome of a call; of equal ones at the same time, one is made."""
        if why := self._undraftable.get(call.key):
            return Outcome(failed=why)
        if call.key not in self._running:
            approval = self._decided.get(call.key)
            assert not isinstance(approval, str)
            made = call_tool(self.tools[call.tool], call, approval)
            self._running[call.key] = asyncio.ensure_future(made)
        try:
            return await self._running[call.key]
        except BaseException:
            self._running.pop(call.key, None)
            raise


def holds(condition: Condition, scope: Mapping[str, Any]) -> bool:
    """Whether a condition holds for what references stand for. Raises LookupError in words for what
    is not there or cannot be compared."""
    value, to = resolved(condition.value, scope), resolved(condition.to, scope)
    match condition.test:
        case "true" | "false":
            return bool(value) == (condition.test == "true")
        case "empty" | "not empty":
            return (value in (None, "", [], {})) == (condition.test == "empty")
        case "equal" | "unequal":
            return bool(value == to) == (condition.test == "equal")
    try:
        return bool(value > to if condition.test == "greater" else value < to)
    except TypeError:
        raise LookupError(f"when: {value!r:.60} cannot be compared with {to!r:.60}") from None
