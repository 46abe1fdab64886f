"""Workflows: what a goal is compiled into, a person can read, and runs again without a model.

A workflow is a directed graph of steps, each the call of a tool. A step is carried out as soon as
those are done that it refers to. It may be mapped over a list (``for_each``) and depend on a
condition (``when``). One that writes is named by a step ``approve``: a person sees the very call.
"""

import json
import re
from hashlib import sha256
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tasks.references import references_in

APPROVE = "approve"  # the tool of the steps at which a person is asked
ITEM, PARAMS = "item", "params"  # what a reference can begin with, besides the name of a step
STEP_ID = re.compile(r"[a-z][a-z0-9_]{0,39}")

Test = Literal["true", "false", "empty", "not empty", "equal", "unequal", "greater", "less"]
ParamType = Literal["text", "integer", "number", "boolean", "collection", "corpus", "specialist"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Condition(_Frozen):
    """When a step is carried out: ``value``, a reference, passes the ``test``, held against ``to``
    where that takes something to compare with."""

    value: str
    test: Test
    to: Any = None

    @property
    def held(self) -> list[Any]:
        """What may hold references."""
        return [self.value, self.to]


class Step(_Frozen):
    """A call of a tool. Arguments may hold references, as `tasks.references` reads them.

    ``for_each``: a reference to a list; the step is carried out once for each element, ``${item}``,
    and its result is the list of results. ``after``: steps that have to be done before, though none
    of their results is used.
    """

    id: str
    tool: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    for_each: str | None = None
    when: Condition | None = None
    after: tuple[str, ...] = ()

    @property
    def approves(self) -> tuple[str, ...]:
        """The steps whose calls a person is asked to approve here."""
        named = self.arguments.get("steps") if self.tool == APPROVE else ()
        return tuple(map(str, named)) if isinstance(named, list | tuple) else ()

    @property
    def roots(self) -> set[str]:
        """What its references begin with."""
        held = [self.arguments, self.for_each, self.when and self.when.held]
        return {found.root for found in references_in(held)}


class Param(_Frozen):
    """What a workflow is given anew for each run. ``options``: all that it can be, where it is one
    of a few texts."""

    type: ParamType = "text"
    description: str = ""
    default: Any = None
    options: tuple[str, ...] = ()


class Workflow(_Frozen):
    """Steps towards a goal. ``examples``: goals that it reaches, as people word them; ``answer``: a
    text with references, which is the result; without it a model words one from the results."""

    goal: str
    examples: tuple[str, ...] = ()
    params: dict[str, Param] = Field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    answer: str | None = None

    @property
    def by_id(self) -> dict[str, Step]:
        """The steps by their names."""
        return {step.id: step for step in self.steps}

    @property
    def text(self) -> str:
        """The workflow as JSON: the bytes that are approved and saved."""
        return json.dumps(
            self.model_dump(mode="json", exclude_defaults=True),
            ensure_ascii=False,
            indent=1,
            sort_keys=True,
        )

    @property
    def version(self) -> str:
        """SHA-256 of its text."""
        return sha256(self.text.encode()).hexdigest()

    def needs(self, step: Step) -> set[str]:
        """The steps that have to be done before a step. An approval needs what the calls that it is
        about need; what writes needs its approval."""
        approvals = {each.id for each in self.steps if step.id in each.approves}
        approved = [self.by_id[name] for name in step.approves if name in self.by_id]
        of_approved = {root for each in approved for root in each.roots | {*each.after}}
        needed = step.roots | {*step.after} | approvals | of_approved
        return needed - {ITEM, PARAMS} - {*step.approves}

    def direct_needs(self, step: Step) -> set[str]:
        """Those that it needs without any of the others in between."""
        needed = self.needs(step)
        return needed - {far for near in needed for far in self._all_needs(self.by_id[near])}

    def _all_needs(self, step: Step) -> set[str]:
        needed = self.needs(step)
        return needed.union(*(self._all_needs(self.by_id[each]) for each in needed))

    def cycle(self) -> list[str]:
        """Names of steps each of which needs the next, and the last the first; empty without."""
        state = dict[str, int]()  # 1: being followed, 2: found free

        def follow(name: str, way: list[str]) -> list[str]:
            if state.get(name) == 1:
                return way[way.index(name) :]
            if state.get(name) == 2 or name not in steps:
                return []
            state[name] = 1
            for needed in sorted(self.needs(steps[name])):
                if found := follow(needed, [*way, name]):
                    return found
            state[name] = 2
            return []

        steps = self.by_id
        return next((found for name in steps if (found := follow(name, []))), [])

    def levels(self) -> list[list[Step]]:
        """The steps in the order in which they can be carried out: those of a level at once."""
        placed = set[str]()
        found = list[list[Step]]()
        while len(placed) < len(self.by_id):
            level = [s for s in self.steps if s.id not in placed and self.needs(s) <= placed]
            if not level:
                raise ValueError("a workflow with a cycle has no order")
            found.append(level)
            placed |= {step.id for step in level}
        return found
