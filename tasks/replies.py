"""What models fill in: pydantic models of replies. Enums come first, so that small models decide
before they write; lengths are bounded, so that no reply runs away."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal, Union

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    create_model,
)

Severity = Literal["low", "medium", "high", "critical"]


def cut(most: int) -> BeforeValidator:
    """What is longer than the schema allows is cut rather than refused."""
    return BeforeValidator(lambda said: said[:most] if isinstance(said, str) else said)


class _Reply(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ThemeWording(_Reply):
    """The problem that a group of texts shares."""

    severity: Severity
    title: Annotated[str, cut(70), Field(min_length=3, max_length=70)]
    detail: Annotated[str, cut(240), Field(min_length=3, max_length=240)]


class AreaWording(_Reply):
    """What several themes have in common."""

    title: Annotated[str, cut(70), Field(min_length=3, max_length=70)]
    detail: Annotated[str, cut(240), Field(min_length=3, max_length=240)]


class Overview(_Reply):
    """What a whole corpus is about."""

    headline: Annotated[str, cut(140), Field(min_length=3, max_length=140)]
    overview: Annotated[str, cut(600), Field(min_length=3, max_length=600)]


class GroupWording(_Reply):
    """What one group reports."""

    sentence: Annotated[str, cut(240), Field(min_length=3, max_length=240)]


class Comparison(_Reply):
    """Whether two groups of texts are about one problem."""

    verdict: Literal["same", "different"]


class PassageFact(_Reply):
    """What one passage reports; ``none`` when it reports no problem."""

    kind: Literal["problem", "request", "question", "none"]
    severity: Severity
    problem: Annotated[str, cut(120), Field(max_length=120)]
    quote: Annotated[str, cut(200), Field(max_length=200)]
    also: Annotated[str, cut(120), Field(max_length=120)]


class TicketLabel(_Reply):
    """Where a ticket belongs."""

    category: Literal["bug", "billing", "access", "how-to", "feature request", "other"]
    urgency: Severity
    summary: Annotated[str, cut(160), Field(min_length=3, max_length=160)]


class CitedClaim(_Reply):
    """One thing that an answer says, and where it stands: the number of a passage, and a quote."""

    passage: Literal[
        "none", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15",
        "16", "17", "18", "19", "20",
    ]  # fmt: skip
    quote: Annotated[str, cut(400), Field(max_length=400)]
    claim: Annotated[str, cut(300), Field(max_length=300)]


class CitedClaims(_Reply):
    """An answer from numbered passages; one claim with the passage ``none`` when there is none."""

    claims: Annotated[list[CitedClaim], Field(min_length=1, max_length=4)]


class ReplyDraft(_Reply):
    """A reply to a ticket, and the number of the passage that it rests on."""

    passage: Literal["none", "1", "2", "3", "4", "5"]
    reply: Annotated[str, cut(1200), Field(min_length=3, max_length=1200)]


class Support(_Reply):
    """Whether a sentence tells what a question asks for."""

    answers: Literal["yes", "no"]


class StandaloneQuestion(_Reply):
    """A question that is understood by itself."""

    question: Annotated[str, cut(400), Field(min_length=3, max_length=400)]


class ProposedChange(_Reply):
    """One value that a request wants changed: of which field, in which record, to what."""

    field: str
    find_by: str
    find: Annotated[str, cut(200), Field(min_length=1, max_length=200)]
    new_value: Annotated[str, cut(400), Field(max_length=400)]
    reason: Annotated[str, cut(200), Field(max_length=200)]


class ProposedChanges(_Reply):
    """All that a request wants changed; nothing is an empty list."""

    changes: Annotated[list[ProposedChange], Field(max_length=10)]


class PlannedCondition(_Reply):
    """When a step of a plan is carried out."""

    value: Annotated[str, Field(max_length=120)]
    test: Literal["true", "false", "empty", "not empty", "equal", "unequal", "greater", "less"]
    to: str | float | None


class PlannedStep(_Reply):
    """A step of a plan: the call of a tool. Nothing to map over, or no condition, is null."""

    id: Annotated[str, WithJsonSchema({"type": "string", "pattern": "^[a-z][a-z0-9_]{0,39}$"})]
    tool: str
    arguments: dict[str, Any]
    for_each: str | None
    when: PlannedCondition | None


class PlannedWorkflow(_Reply):
    """A plan for a goal. Without a step, the tools cannot reach it: ``why`` not."""

    why: Annotated[str, cut(300), Field(max_length=300)]
    steps: list[PlannedStep]


class Fits(_Reply):
    """Whether a workflow is for a goal."""

    fits: Literal["yes", "no"]


class FilledParameters(_Reply):
    """A value for each parameter of a workflow."""

    parameters: dict[str, Any]


class TaskStep(_Reply):
    """A step that a task will take: a tool, and what for."""

    tool: str
    purpose: Annotated[str, cut(160), Field(max_length=160)]


class TaskPlan(_Reply):
    """What a task will take, in order."""

    steps: Annotated[list[TaskStep], Field(max_length=8)]


class ChosenAction(_Reply):
    """What an agent does next: a tool with its arguments, or ``answer`` with the ``text``."""

    action: dict[str, Any]


class Critique(_Reply):
    """Whether an answer does what its task asks for, and its evidence says so."""

    verdict: Literal["good", "unsupported", "incomplete"]
    reason: Annotated[str, cut(300), Field(max_length=300)]


class GoalAnswer(_Reply):
    """What came out of a workflow."""

    answer: Annotated[str, cut(2400), Field(min_length=1, max_length=2400)]


class LabelChoice(_Reply):
    """The label of a text, or none."""

    label: str


class WrittenQuery(_Reply):
    """A SQL query."""

    sql: Annotated[str, Field(min_length=1, max_length=1500)]


@cache
def workflow_of(steps: str) -> type[BaseModel]:
    """A plan of such steps, by the JSON text of their JSON schema. It is what a model is told, and
    what one that is held to it cannot leave; what does not fit is the checks' affair all the same,
    since they say more about it."""
    told = {"type": "array", "maxItems": 12, "items": json.loads(steps)}
    several = Annotated[list[PlannedStep], WithJsonSchema(told)]
    return create_model("Plan", __base__=PlannedWorkflow, steps=(several, ...))


@cache
def task_plan_of(tools: tuple[str, ...]) -> type[BaseModel]:
    """Steps with these tools and no others."""
    step = create_model("OneStep", __base__=TaskStep, tool=(_one_of(tools), ...))
    several = Annotated[list[step], Field(max_length=8)]
    return create_model("Steps", __base__=TaskPlan, steps=(several, ...))


def action_of(tools: Mapping[str, type[BaseModel]]) -> type[BaseModel]:
    """One call of one of these tools, by the models of their arguments, or the answer."""
    text = Annotated[str, cut(4000), Field(min_length=1, max_length=4000)]
    kinds: list[Any] = [_variant(name, arguments=of) for name, of in tools.items()]
    kinds.append(_variant("answer", text=text))
    action: Any = Union[*kinds]
    return create_model("Action", __base__=_Reply, action=(action, ...))


def _variant(tool: str, **kind: Any) -> type[BaseModel]:
    [(name, of)] = kind.items()
    fields: dict[str, Any] = {"tool": (_one_of((tool,)), ...), name: (of, ...)}
    return create_model(f"call_{tool}", __base__=_Reply, **fields)


def _one_of(names: tuple[str, ...]) -> Any:
    return Literal[names]


def parameters_of(fields: Mapping[str, tuple[Any, str]]) -> type[BaseModel]:
    """A value for each parameter: its type, and what it is."""
    described: dict[str, Any] = {
        name: (kind, Field(description=said)) for name, (kind, said) in fields.items()
    }
    each: Any = create_model("Values", __base__=_Reply, **described)
    return create_model("Parameters", __base__=_Reply, parameters=(each, ...))


@cache
def facts_by_label(labels: tuple[str, ...]) -> type[BaseModel]:
    """A reply with one required fact for each label: no passage is forgotten, none invented."""
    fields = dict.fromkeys(labels, (PassageFact, ...))
    return create_model("Facts", __base__=_Reply, **fields)  # type: ignore[call-overload,no-any-return]


@cache
def changes_by_field(fields: tuple[str, ...], lookups: tuple[str, ...]) -> type[BaseModel]:
    """A reply of at most ten changes of these fields, in records found by these lookups: what else
    there is cannot be named. No change is an empty list."""
    places = {"field": (Literal[fields], ...), "find_by": (Literal[lookups], ...)}
    change = create_model("Change", __base__=ProposedChange, **places)  # type: ignore[call-overload]
    several = Annotated[list[change], Field(max_length=10)]
    return create_model("Changes", __base__=ProposedChanges, changes=(several, ...))


@cache
def label_of(labels: tuple[str, ...]) -> type[BaseModel]:
    """One of these labels."""
    return create_model("Label", __base__=LabelChoice, label=(_one_of(labels), ...))


def like(schema: dict[str, Any] | None) -> type[BaseModel] | None:
    """The model that a kept schema was made from, where it was made for its inputs; None for any
    other schema."""
    match schema:
        case {"title": "Facts", "properties": labels}:
            return facts_by_label(tuple(labels))
        case {"title": "Label", "properties": {"label": label}}:
            return label_of(_values(label))
        case {"title": "Changes", "$defs": {"Change": {"properties": properties}}}:
            return changes_by_field(*(_values(properties[name]) for name in ("field", "find_by")))
    return None


def _values(field: dict[str, Any]) -> tuple[str, ...]:
    """What a field may be: a list of one value is written as that value."""
    return tuple(field.get("enum") or [field["const"]])
