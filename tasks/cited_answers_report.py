"""A cited answer as an artifact that a person reads."""

from prefect import task
from prefect.artifacts import acreate_markdown_artifact
from prefect.cache_policies import NO_CACHE

from tasks.cited_answers import CitedAnswer
from tasks.markdown import escaped, quoted

_SHOWN = 600  # characters of a nearest passage


def cited_answer_markdown(answer: CitedAnswer) -> str:
    """The answer as Markdown: the question, what is said, and each quote with its place."""
    parts = [f"**{_line(answer.question)}**", escaped(answer.answer)]
    parts += [
        f"\\[{number}\\] {_place(each.document, each.context)}\n\n{quoted(each.quote)}"
        for number, each in enumerate(answer.citations, 1)
    ]
    if answer.nearest:
        parts.append("The nearest passages, none of which tells what was asked:")
    parts += [
        f"{_place(each.document, each.context)}\n\n{quoted(each.text[:_SHOWN])}"
        for each in answer.nearest
    ]
    cost = "unknown" if answer.cost_usd is None else f"{answer.cost_usd:.6f} USD"
    parts.append(
        f"{answer.model_calls} model calls, {answer.prompt_tokens} + {answer.completion_tokens} "
        f"tokens, cost {cost}, {answer.latency_ms:.0f} ms."
    )
    return "\n\n".join(parts) + "\n"


@task(name="publish answer", cache_policy=NO_CACHE, persist_result=False)
async def publish_cited_answer(answer: CitedAnswer) -> None:
    """Leave the answer on the run's page."""
    await acreate_markdown_artifact(cited_answer_markdown(answer), description="Cited answer")


def _place(document: str, context: str) -> str:
    return f"{_line(document)}: {_line(context)}" if context else _line(document)


def _line(text: str) -> str:
    return escaped(" ".join(text.split()))
