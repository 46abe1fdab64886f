"""Caching layer: what was asked before is not paid for again.

    input → cache check → HIT → response
                        └ MISS → LLM → cache → response

Use it when the same things are asked again: by other people, in other words, by a run that starts
anew. An exact hit costs nothing, a semantic one an embedding, a miss what it always costs. How
similar is similar enough is learned, under a bound on wrong answers; hits are checked, and switch
themselves off in doubt. `tend_cache` keeps the cache small and honest; `report_costs` says
what calls cost and what the cache has saved.
"""

from prefect import flow

from tasks.answers import Answer, NamedPrompt, answer_of, publish_answer
from tasks.asking import ask_prompt, check_cache
from tasks.cache_report import Upkeep, publish_upkeep
from tasks.cache_upkeep import take_stock, tend_replies
from tasks.cost_report import CostReport, CostRequest, publish_costs, read_costs
from tasks.hit_checks import check_hits
from tasks.runs import charged


@flow(name="answer-through-cache")
async def answer_through_cache(request: NamedPrompt) -> Answer:
    """Answer from one named prompt, from the cache where it can."""
    async with charged():
        reply = await check_cache(request.prompt, request.inputs, request.tenant)
        if reply is None:
            reply = await ask_prompt(request.prompt, request.inputs, tenant=request.tenant)
        answer = answer_of(request, reply)
        await publish_answer(answer)
    return answer


@flow(name="tend-cache")
async def tend_cache() -> Upkeep:
    """Check the semantic hits that were noted, drop what is too old or too much, learn, report."""
    async with charged():
        checked = await check_hits()
        tended = await tend_replies()
        upkeep = Upkeep(checked=checked, tended=tended, stock=await take_stock())
        await publish_upkeep(upkeep)
    return upkeep


@flow(name="report-costs")
async def report_costs(request: CostRequest) -> CostReport:
    """What the calls of the last days have cost, and the hits saved. Calls no model."""
    report = await read_costs(request)
    await publish_costs(report)
    return report
