"""What does not scale: a model's SQL goes straight into the database.

    user → LLM → database write → response

No validation, no rehearsal, no review, no record of what was there before. It is done for real
here, and only here: in a scratch schema, as a role that owns this schema and nothing else.
"""

import re
from uuid import UUID

from prefect import task

from infra.budget import Budget
from infra.scratch import Scratch, records, refill, run_unguarded, scratch
from tasks.asking import ask
from tasks.progress import Progress
from tasks.prompts import parse_prompt
from tasks.record_requests import SAMPLES, RecordRequest, Written, judged
from tasks.runs import RETRIED, apart
from tasks.wording import UNUSABLE

_FENCED = re.compile(r"```(?:\w+)?\n(.*?)(?:```|\Z)", re.DOTALL)


@task(name="write directly", **RETRIED)
async def write_directly(
    requests: list[RecordRequest], run: UUID, following: Progress
) -> list[Written]:
    """What each request does to the records of a scratch schema that is as new for each."""
    found = list[Written]()
    with apart(run, Budget(), f"comparison-{run}"):
        async with scratch(sample_records()) as place:
            for request in requests:
                found.append(await _written(place, request))
                await following.advance()
    return found


def sample_records() -> str:
    """SQL that makes the sample's tables and fills them."""
    return SAMPLES.joinpath("records.sql").read_text(encoding="utf-8")


async def _written(place: Scratch, request: RecordRequest) -> Written:
    await refill(place)
    before = await records(place)
    try:
        said = await run_unguarded(place, await _statements(request))
    except UNUSABLE as error:
        said = str(error)
    done = judged(request, before, await records(place))
    # Nothing has kept what was there: there is nothing to take it back with.
    return done.model_copy(update={"said": said, "undone": False if done.wrote else None})


async def _statements(request: RecordRequest) -> str:
    """The SQL that a model writes for a request, out of the fence that models put around it."""
    source = SAMPLES.joinpath("write_directly.md").read_text(encoding="utf-8")
    tables = sample_records().partition("insert into")[0].strip()
    prompt = parse_prompt("write_directly", source)
    reply = await ask(prompt, {"tables": tables, "request": request.text})
    fenced = _FENCED.findall(reply.text)
    return "\n".join(fenced) if fenced else reply.text
