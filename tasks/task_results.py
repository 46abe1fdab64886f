"""What an agent's task came to: the answer, what it rests on, and the way there to read."""

from prefect import task
from prefect.artifacts import acreate_markdown_artifact
from prefect.cache_policies import NO_CACHE
from pydantic import BaseModel, ConfigDict

from infra.errors import PatternsError
from infra.providers import is_local, model_of
from tasks.agent import Agent, Done
from tasks.markdown import escaped, fenced, quoted
from tasks.references import as_text
from tasks.replies import Critique, TaskPlan
from tasks.review_form import Spent, spent
from tasks.review_output import Released
from tasks.reviews import Draft, Evidence, Rejection, Subject
from tasks.revision import revised
from tasks.steps import current_root_run, once

_SHOWN = 1500  # characters of a result


class CallMade(BaseModel):
    """A call of a tool as people read it. ``review``: that approved it; ``failed``: why there is no
    result."""

    model_config = ConfigDict(frozen=True)

    turn: int
    tool: str
    line: str
    result: str
    failed: str
    review: int | None
    seconds: float


class TaskDone(BaseModel):
    """What a task came to. ``supported``: a critic found the answer good, None where only its
    numbers and addresses were looked up, since the model cannot judge; ``stopped``: why there is
    none; ``cost_usd``: None where a price is unknown."""

    model_config = ConfigDict(frozen=True)

    task: str
    answer: str
    supported: bool | None
    critique: Critique | None
    plan: TaskPlan
    turns: int
    calls: tuple[CallMade, ...]
    remarks: tuple[str, ...]
    released_by: tuple[str, ...] = ()
    stopped: str = ""
    model_calls: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None

    @property
    def brief(self) -> "TaskDone":
        """The same without what the tools said, which may be what customers wrote: Prefect keeps
        what flows return."""
        calls = tuple(call.model_copy(update={"result": ""}) for call in self.calls)
        return self.model_copy(update={"calls": calls})


def subject_of(agent: Agent) -> Subject:
    """What is reviewed of a task."""
    return Subject(
        title="Answer to a task", kind="task", policy="tasks", author=agent.request.requester
    )


async def draft_of(agent: Agent, rejections: tuple[Rejection, ...]) -> Draft:
    """An agent's answer, with its evidence; after rejections, written anew from that."""
    inputs = {"material": agent.evidence(agent.room), "instruction": agent.request.task}

    async def again() -> str:
        reasons = [rejection.words for rejection in rejections]
        reply = await revised("compose_text", inputs, rejections[-1].text, reasons)
        return reply.text.strip()

    text = agent.answer
    if rejections:
        text = await once(f"answer-{len(rejections)}", again, str)
    shown = [Evidence(source=each.line, quote=_result(each, _SHOWN)) for each in agent.done]
    return Draft(text=text, material=agent.request.task, inputs=inputs, evidence=tuple(shown))


async def task_done(agent: Agent, released: Released | None) -> TaskDone:
    """What a task came to, with what it took."""
    critique = agent.critique
    taken: Spent = await spent(current_root_run())
    return TaskDone(
        task=agent.request.task,
        answer=released.text if released else agent.answer,
        supported=_is_supported(critique),
        critique=critique,
        plan=agent.plan,
        turns=agent.turns,
        calls=tuple(map(_made, agent.done)),
        remarks=tuple(agent.remarks),
        released_by=released.reviewers if released else (),
        stopped=str(agent.stopped or ""),
        **taken.model_dump(),
    )


def _is_supported(critique: Critique | None) -> bool | None:
    good = critique is not None and critique.verdict == "good"
    return None if good and is_local(model_of("strong")) else good


def require_answer(stopped: PatternsError | None) -> None:
    """Raise why a task has no answer."""
    if stopped:
        raise stopped


@task(name="publish trajectory", cache_policy=NO_CACHE, persist_result=False)
async def publish_trajectory(done: TaskDone) -> None:
    """Leave the way to the answer on the run's page."""
    await acreate_markdown_artifact(
        trajectory_markdown(done), key="trajectory", description="What the agent did"
    )


def trajectory_markdown(done: TaskDone) -> str:
    """Task, plan, each call and what it came to, the critic's word, the answer, what it took."""
    plan = "\n".join(
        f"{n}. **{escaped(step.tool)}**: {_line(step.purpose)}"
        for n, step in enumerate(done.plan.steps, 1)
    )
    parts = [f"**{_line(done.task)}**", f"The plan:\n\n{plan}"]
    for number, call in enumerate(done.calls, 1):
        approved = f", approved in review {call.review}" if call.review else ""
        head = f"**Call {number}**, turn {call.turn}, {call.seconds:.1f} s{approved}: "
        result = f"*It failed:* {escaped(call.failed)}" if call.failed else fenced(call.result)
        parts.append(f"{head}{_line(call.line)}\n\n{result}")
    parts += [f"Said to an answer: {_line(remark)}" for remark in done.remarks]
    if done.stopped:
        parts.append(f"**There is no answer:** {_line(done.stopped)}")
    else:
        parts.append(f"The answer:\n\n{quoted(done.answer)}")
    if done.critique:
        said = f"{done.critique.verdict}. {_line(done.critique.reason)}"
        parts.append(f"The critic: {said}")
    if done.released_by:
        parts.append(f"Released by {_line(' and '.join(done.released_by))}.")
    cost = "unknown" if done.cost_usd is None else f"{done.cost_usd:.6f} USD"
    parts.append(
        f"{done.turns} turns, {len(done.calls)} calls of tools, {done.model_calls} model calls, "
        f"{done.prompt_tokens} + {done.completion_tokens} tokens, cost {cost}."
    )
    return "\n\n".join(parts) + "\n"


def _made(done: Done) -> CallMade:
    return CallMade(
        turn=done.turn,
        tool=done.call.tool,
        line=done.line,
        result="" if done.outcome.failed else _result(done, _SHOWN),
        failed=done.outcome.failed,
        review=done.approved_by,
        seconds=done.outcome.seconds,
    )


def _result(done: Done, most: int) -> str:
    text = done.outcome.failed or as_text(done.outcome.value)
    return text if len(text) <= most else f"{text[:most]} …"


def _line(text: str) -> str:
    return escaped(" ".join(text.split()))
