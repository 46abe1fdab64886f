"""Prompt-as-a-Service: a named prompt, its inputs, one reply.

    input → prompt template → LLM → response

Use it when the question is known and only its inputs change: sorting a ticket, rewording a text,
anything that a person can write down once and test case by case. It costs one model call, and none
for inputs that were asked before. With ``review`` a person sees the reply before anybody else does.
"""

from prefect import flow

from tasks.answers import Answer, PromptRequest, answer_of, publish_answer
from tasks.asking import ask_prompt
from tasks.release import release
from tasks.runs import charged
from tasks.steps import once


@flow(name="answer-prompt", persist_result=True)
async def answer_prompt(request: PromptRequest) -> Answer:
    """Answer from one named prompt.

    A reply is made once for a run: a run that waited for its review goes on with the reply that the
    reviewer saw.
    """

    async def from_model() -> Answer:
        return answer_of(
            request, await ask_prompt(request.prompt, request.inputs, tenant=request.tenant)
        )

    async with charged():
        answer = await once(f"answer-{request.digest}", from_model, Answer)
        if request.review:
            released = await release(answer.reply, title=f"Reply to the prompt {request.prompt}")
            answer = answer.model_copy(
                update={"reply": released.text, "released_by": released.reviewer}
            )
        await publish_answer(answer)
    return answer
