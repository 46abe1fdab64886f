"""A prompt answered in the background: handed to a process that runs already, no new flow run.

    answer_in_background.delay(request) → Prefect's server → task worker (`patterns up`) → Answer

Use it where a program wants an answer in a moment, or goes on meanwhile: a new flow run takes
seconds to start, this a fraction of one. Both sides run the same version of the project, on the
same Prefect server, and share its result storage; PREFECT_HOME is that on one machine.

The request lies in that storage until somebody deletes it, inputs and all, and so does the answer:
the worker and the caller have no other way to each other. Neither enters Prefect's logs. The queue
is in the memory of Prefect's server: what still waits there when the server ends is lost, so give
``result`` a time limit and ask again. An answer that was made meanwhile is in the cache.
"""

from prefect import task
from prefect.context import TaskRunContext
from pydantic import ValidationError

from infra.errors import InputError
from tasks.answers import Answer, PromptRequest, answer_of
from tasks.asking import ask
from tasks.runs import charged, is_transient


def _only_its_own(context: TaskRunContext, parameters: object) -> str:
    """A name for a run's result under which no other run finds it: ours is the cache, whose hits
    are in the ledger. A worker replaces NO_CACHE by a policy that does find it."""
    return f"answer-{context.task_run.id}"


@task(
    name="answer in background",
    cache_key_fn=_only_its_own,
    persist_result=True,
    retries=2,
    retry_delay_seconds=10,
    retry_condition_fn=is_transient,
)
async def answer_in_background(request: PromptRequest) -> Answer:
    """The answer to a request, which may be a dict of its fields, too.

    Raises InputError for a request that does not fit, and what `tasks.asking.ask` raises: so does
    the ``result`` of the run at the caller.
    """
    wanted = _checked(request)
    async with charged():
        reply = await ask(wanted.prompt, wanted.inputs, tenant=wanted.tenant)
        return answer_of(wanted, reply)


def _checked(request: object) -> PromptRequest:
    try:
        wanted = PromptRequest.model_validate(request)
    except ValidationError as error:  # its message quotes the inputs, and would be logged
        faults = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise InputError(f"The request does not fit: {'; '.join(faults)}.") from None
    if wanted.review:
        raise InputError("A review is a step of a flow: run answer-prompt for it.")
    return wanted
