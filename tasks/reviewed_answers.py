"""Answers of the prompt service that people release: drafted, and drafted again with reasons."""

from prefect import task

from infra.llm import Reply
from tasks.answers import Answer, PromptRequest, answer_of
from tasks.asking import ask_prompt
from tasks.review_output import Released
from tasks.reviews import Draft, Rejection, Subject
from tasks.revision import revised
from tasks.runs import RETRIED
from tasks.steps import once


def subject_of(request: PromptRequest) -> Subject:
    """What is reviewed of a request's reply."""
    return Subject(
        title=f"Reply to the prompt {request.prompt}",
        kind=f"prompt:{request.prompt}",
        policy="answers",
        author=request.author,
    )


async def answer_once(request: PromptRequest, rejections: tuple[Rejection, ...] = ()) -> Answer:
    """The answer to a request, or the next one after its rejected ones; made once for a run, so
    that a run that waited goes on with the reply that the reviewer saw."""

    async def from_model() -> Answer:
        if rejections:
            return answer_of(request, await revise(request, rejections))
        return answer_of(
            request, await ask_prompt(request.prompt, request.inputs, tenant=request.tenant)
        )

    return await once(f"answer-{request.digest}-{len(rejections)}", from_model, Answer)


async def draft_of(request: PromptRequest, rejections: tuple[Rejection, ...]) -> Draft:
    """The reply to a request, for a person to decide on."""
    answer = await answer_once(request, rejections)
    material = "\n\n".join(request.inputs.values())
    return Draft(text=answer.reply, material=material, inputs=request.inputs)


async def released_answer(request: PromptRequest, released: Released) -> Answer:
    """The answer to a request as people released it."""
    answer = await answer_once(request, released.rejections)
    by = " and ".join(released.reviewers)
    return answer.model_copy(update={"reply": released.text, "released_by": by})


@task(name="revise", **RETRIED)
async def revise(request: PromptRequest, rejections: tuple[Rejection, ...]) -> Reply:
    """A reply that heeds why the ones before it were rejected."""
    return await revised(
        request.prompt,
        request.inputs,
        rejections[-1].text,
        [rejection.words for rejection in rejections],
        tenant=request.tenant,
    )
