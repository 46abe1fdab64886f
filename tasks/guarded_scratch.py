"""Guarded writes in a scratch schema: what the project does in place of a direct write.

    request → LLM → typed proposals → rules → rehearsal → stand-in → one transaction → undo

Nobody sits before a comparison, so what a person would have to approve is shown to a stand-in: code
that knows what the request was to change, and releases that and nothing else.
"""

from uuid import UUID

from prefect import task

from infra.budget import Budget
from infra.errors import ProposalRefused
from infra.guarded_tables import acting_as, grant_besides, require_roles
from infra.postgres import transaction
from infra.scratch import Scratch, records, refill, scratch
from tasks.change_application import Effect, rehearse, taken_back, write_scratch
from tasks.change_checks import needs_review
from tasks.change_proposals import propose
from tasks.change_rules import Rules, held_against_catalogue, parse_rules
from tasks.direct_write import sample_records
from tasks.progress import Progress
from tasks.record_requests import SAMPLES, RecordRequest, Written, judged
from tasks.runs import RETRIED, apart
from tasks.wording import UNUSABLE


@task(name="write behind the guard", **RETRIED)
async def write_guarded(
    requests: list[RecordRequest], run: UUID, following: Progress
) -> list[Written]:
    """What each request does to the records of a scratch schema that is as new for each, and
    whether it can be undone."""
    found = list[Written]()
    await require_roles()
    with apart(run, Budget(), f"comparison-{run}"):
        async with scratch(sample_records()) as place:
            for request in requests:
                found.append(await _written(place, request))
                await following.advance()
    return found


async def _written(place: Scratch, request: RecordRequest) -> Written:
    await refill(place)
    rules, before = await _rules(place), await records(place)
    undone = None
    waited = seen = False
    try:
        change = await propose(request.text, rules)
        effects = await rehearse(change, rules)
        waited = needs_review(change.proposals, rules)
        if waited and not _stands_in(request, place, effects):
            raise ProposalRefused(["The stand-in for a person did not release it"])
        seen = waited
        cells, said = await write_scratch(change.proposals, rules), ""
        done = judged(request, before, await records(place))
        await write_scratch(taken_back(cells, "undo"), rules)
        undone = await records(place) == before
    except (*UNUSABLE, ProposalRefused) as error:
        done, said = judged(request, before, await records(place)), str(error)
    told = {"waited": waited, "seen": seen, "undone": undone, "said": said}
    return done.model_copy(update=told)


def _stands_in(request: RecordRequest, place: Scratch, effects: list[Effect]) -> bool:
    """Whether the rehearsal shows what the request was to change, and nothing else."""
    prefix = f"{place.name}."
    before = {(e.table.removeprefix(prefix), e.key): e.before for e in effects}
    after = {(e.table.removeprefix(prefix), e.key): e.after for e in effects}
    return judged(request, before, after).is_right


async def _rules(place: Scratch) -> Rules:
    """The sample's rules for this schema, and the two roles' rights to just what they allow."""
    source = SAMPLES.joinpath("record_rules.yaml").read_text(encoding="utf-8")
    rules = parse_rules(source.replace("SCHEMA.", f"{place.name}."), "record_rules.yaml")
    typed = await held_against_catalogue(rules, "record_rules.yaml")
    async with transaction() as connection, acting_as(connection, place.name):
        await grant_besides(connection, typed.readable, typed.writable)
    return typed
