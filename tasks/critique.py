"""The critic: it did not write the answer, and holds it against the task and the evidence."""

from collections.abc import Awaitable, Callable

from prefect import task

from infra.providers import is_local, model_of
from tasks.agent import Agent
from tasks.asking import ask
from tasks.replies import Critique
from tasks.reply_checks import made_up
from tasks.review_chain import digest
from tasks.runs import RETRIED
from tasks.steps import once


async def criticize(agent: Agent) -> Critique:
    """What the critic says of the agent's answer; once for a run and answer.

    Code looks up every number and address; a model judges the rest, unless it is the embedded one,
    which cannot judge.
    """
    return await critic(len(agent.remarks), digest(agent.answer), lambda: judged(agent))


@task(name="critic", **RETRIED)
async def critic(number: int, answer: str, make: Callable[[], Awaitable[Critique]]) -> Critique:
    """The critique of that number, made once for a run and an answer (SHA-256)."""
    return await once(f"critique-{number}-{answer[:32]}", make, Critique)


async def judged(agent: Agent) -> Critique:
    """`criticize` without keeping it."""
    if not agent.answer.strip():
        return Critique(verdict="incomplete", reason="The answer is empty.")
    evidence = agent.evidence(agent.room)
    whole = agent.evidence(10**9)
    known = "\n".join((agent.request.task, agent.request.material, whole))
    if faults := [*made_up(agent.answer, known)]:
        return Critique(verdict="unsupported", reason=" ".join(faults)[:300])
    if is_local(model_of("strong")):
        return Critique(verdict="good", reason="Its numbers and addresses are in the evidence.")
    inputs = {"task": agent.request.task, "evidence": evidence, "answer": agent.answer}
    reply = await ask("criticize_answer", inputs)
    assert isinstance(reply.value, Critique)
    return reply.value
