"""What the prompt service takes and gives, and the artifact that a person reads."""

import hashlib

from prefect import task
from prefect.artifacts import acreate_markdown_artifact
from prefect.cache_policies import NO_CACHE
from pydantic import BaseModel, ConfigDict, Field

from infra.llm import Reply
from tasks.markdown import escaped, quoted
from tasks.prompts import load_prompt, prompt_names


class NamedPrompt(BaseModel):
    """A prompt and its inputs."""

    # What is said of a request that does not fit ends up in logs: not what a ticket says.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    # Enum and positions make the form in Prefect's UI.
    prompt: str = Field(
        description="Name of the prompt.",
        json_schema_extra={"enum": [*prompt_names()], "position": 0},
    )
    inputs: dict[str, str] = Field(
        default_factory=dict,
        description='The prompt\'s inputs, such as {"ticket": "…"}.',
        json_schema_extra={"position": 1},
    )
    tenant: str = Field(
        "",
        description="Whose replies nobody else is given. Empty: everybody's.",
        json_schema_extra={"position": 3},
    )


class PromptRequest(NamedPrompt):
    """One question to the prompt service."""

    review: bool = Field(
        False,
        description="Hold the reply back until a person releases it.",
        json_schema_extra={"position": 2},
    )

    author: str = Field(
        "",
        description="Who asks, for the review: somebody else has to release it.",
        json_schema_extra={"position": 4},
    )

    @property
    def digest(self) -> str:
        """The request's own name among the steps of a run, which may make several."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]


class Answer(BaseModel):
    """A reply, and what there is to know about it.

    ``version``: SHA-256 of the prompt. ``served_by``: who gave the reply, such as model or exact
    (a stored one). ``cost_usd``: null when the model's price is unknown. ``released_by``: who let
    it out, when it was held back.
    """

    model_config = ConfigDict(frozen=True)

    reply: str
    prompt: str
    version: str
    model: str
    served_by: str
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None
    latency_ms: float
    released_by: str | None = None


def answer_of(request: NamedPrompt, reply: Reply) -> Answer:
    """The answer that a reply to the request makes."""
    return Answer(
        reply=reply.text,
        prompt=request.prompt,
        version=load_prompt(request.prompt).version,
        model=reply.model,
        served_by=reply.served_by,
        prompt_tokens=reply.prompt_tokens,
        completion_tokens=reply.completion_tokens,
        cost_usd=reply.cost_usd,
        latency_ms=reply.latency_ms,
    )


def answer_markdown(answer: Answer) -> str:
    """The answer as Markdown: the reply as it is, then how it came about."""
    cost = "unknown" if answer.cost_usd is None else f"{answer.cost_usd:.6f} USD"
    rows = {
        "Prompt": f"`{answer.prompt}`, version `{answer.version[:12]}`",
        "Model": f"`{answer.model}`, served by {answer.served_by}",
        "Tokens": f"{answer.prompt_tokens} in, {answer.completion_tokens} out",
        "Cost": cost,
        "Latency": f"{answer.latency_ms:.0f} ms",
    }
    if answer.released_by:
        rows["Released by"] = escaped(" ".join(answer.released_by.split()))
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    return f"{quoted(answer.reply)}\n\n| | |\n|---|---|\n{table}\n"


@task(name="publish answer", cache_policy=NO_CACHE, persist_result=False)
async def publish_answer(answer: Answer) -> None:
    """Leave the answer on the run's page."""
    await acreate_markdown_artifact(
        answer_markdown(answer), description=f"Reply to the prompt {answer.prompt}"
    )
