"""Prompt-as-a-Service: a named prompt, its inputs, one reply.

    input → prompt template → LLM → response

Use it when the question is known and only its inputs change: sorting a ticket, rewording a text,
anything that a person can write down once and test case by case. It costs one model call, and none
for inputs that were asked before. With ``review`` a person sees the reply before anybody else does.
"""

from functools import partial

from prefect import flow

from tasks.answers import Answer, PromptRequest, publish_answer
from tasks.review_output import review_output
from tasks.reviewed_answers import answer_once, draft_of, released_answer, subject_of
from tasks.runs import charged


@flow(name="answer-prompt", persist_result=True)
async def answer_prompt(request: PromptRequest) -> Answer:
    """Answer from one named prompt."""
    async with charged():
        if request.review:
            released = await review_output(subject_of(request), partial(draft_of, request))
            answer = await released_answer(request, released)
        else:
            answer = await answer_once(request)
        await publish_answer(answer)
    return answer
