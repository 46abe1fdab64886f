"""What does not scale, beside what stands in its place, with numbers.

    request → LLM → database write                  beside   guarded write
    one text for everything → LLM → all replies     beside   small prompts, one a job

Use it to see on your model what each costs and breaks. The bad way is done for real, in a scratch
schema that is gone afterwards. It costs a model call a request and way, or some for each case.
"""

from uuid import uuid4

from prefect import flow

from tasks.direct_write import write_directly
from tasks.direct_write_comparison import WritesCompared, compared_writes, publish_writes
from tasks.guarded_scratch import write_guarded
from tasks.monolithic_prompt import ask_monolith
from tasks.monolithic_prompt_comparison import (
    WAYS,
    PromptsCompared,
    compared_prompts,
    publish_prompts,
)
from tasks.progress import progress
from tasks.prompt_passes import PASSES, PromptsRequest, prompt_sample
from tasks.record_requests import WritesRequest, sample_requests
from tasks.runs import charged
from tasks.small_prompts import ask_small_prompts


@flow(name="compare-direct-write")
async def compare_direct_write(request: WritesRequest) -> WritesCompared:
    """Direct writes beside guarded ones, on the same requests and records."""
    requests, direct, guarded = sample_requests(request.limit), uuid4(), uuid4()
    async with charged(), progress("Requests", 2 * len(requests)) as writing:
        compared = await compared_writes(
            {"direct": direct, "guarded": guarded},
            await write_directly(requests, direct, writing),
            await write_guarded(requests, guarded, writing),
        )
        await publish_writes(compared, requests)
    return compared


@flow(name="compare-monolithic-prompt")
async def compare_monolithic_prompt(request: PromptsRequest) -> PromptsCompared:
    """One prompt for everything beside small ones, before and after one sentence is edited."""
    cases = [*prompt_sample().cases[: request.limit]]
    runs = {way: {each: uuid4() for each in PASSES} for way in WAYS}
    async with charged(), progress("Messages", 2 * len(PASSES) * len(cases)) as asking:
        monolith = await ask_monolith(cases, runs["monolith"], asking)
        small = await ask_small_prompts(cases, runs["small prompts"], asking)
        compared = await compared_prompts(cases, runs, monolith, small)
        await publish_prompts(compared, cases)
    return compared
