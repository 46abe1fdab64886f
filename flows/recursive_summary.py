"""Recursive summarization and synthesis: a corpus of any size to one report, by map and reduce.

    corpus → passages → facts → themes → words, leaf to root → synthesis → report
             └─ map, once a passage ─┘   └─ reduce: each node as soon as its children are done ─┘
             └─ with shards: runs on other machines read, too

Use it for what thousands of tickets or hours of transcripts say as a whole: themes with their
tickets, counted by code, worded by the model, every claim with its evidence. It costs one call for
each theme and area, a few to tell close themes apart, and with the strategy ``read`` one for every
10 to 25 passages. What was made is kept: a second run costs nothing, a new ticket a few calls.

`digest_corpus` tells what has changed since the last time, and costs what the summary does:

    corpus → synthesis → themes, then and now → new · grown · shrunk · vanished
"""

from datetime import UTC, datetime
from typing import Any

from prefect import flow
from prefect.utilities.annotations import quote

from tasks.assembly import assemble
from tasks.corpus import load
from tasks.digest_report import publish_digest
from tasks.digests import Digest, DigestRequest, compared, keep_digest, report_of
from tasks.facts import collect_facts
from tasks.findings import Figures
from tasks.grouping import group_facts
from tasks.passages import cut
from tasks.plan_report import publish_plan
from tasks.progress import progress
from tasks.reading import plan_reading, read_batch
from tasks.report import publish_report
from tasks.runs import charged, merged, together
from tasks.shards import Shard, ShardRead, help_to_read, read_in_shards
from tasks.summaries import Plan, SummaryRequest, plan_of, require_whole
from tasks.wording import synthesize, word_branch


@flow(name="summarize-corpus")
async def summarize_corpus(request: SummaryRequest) -> Figures:
    """Summarize a corpus into a report of its themes."""
    started = datetime.now(UTC)
    async with charged(request.budget(), request.prompts):
        corpus = await load(request.source, request.columns, request.since)
        passages = cut(corpus)
        batches = await plan_reading(passages, request.way)
        async with progress("Reading passages", sum(batch.size for batch in batches)) as reading:
            if request.shards and batches:
                failed = await read_in_shards(batches, request.shards, request.max_cost, reading)
            else:
                failed = merged(await together(read_batch(batch, reading) for batch in batches))
        facts = await collect_facts(corpus, passages, request.way, failed)
        whole = request.since is None
        tree = await group_facts(corpus, facts, refit=request.refit, whole=whole)
        async with progress("Wording themes", len(tree.nodes) - 1) as wording:
            branches = (word_branch(tree, node, facts, wording) for node in tree.branches)
            words = merged(await together(branches))
            synthesis = await synthesize(tree, words)
        folder = request.folder(corpus.name, started)
        report = await assemble(corpus, facts, tree, words, synthesis, folder, started)
        unwalked: Any = quote(report)  # Prefect would look at each ticket of it
        await publish_report(unwalked, folder)
    require_whole(report, passages["sha256"].nunique(), request.max_failed_share)
    return report.figures


@flow(name="read-shard")
async def read_shard(request: Shard) -> ShardRead:
    """Read passages for a summary that runs elsewhere, as long as there are some."""
    async with charged(request.budget(), request.prompts, root_run=request.run):
        return await help_to_read(request)


@flow(name="plan-summary")
async def plan_summary(request: SummaryRequest) -> Plan:
    """What summarizing a corpus would take, without calling a model."""
    async with charged():
        corpus = await load(request.source, request.columns, request.since)
        passages = cut(corpus)
        batches = await plan_reading(passages, request.way)
        plan = await plan_of(corpus, passages, batches, request.way)
        await publish_plan(plan)
    return plan


@flow(name="digest-corpus")
async def digest_corpus(request: DigestRequest) -> Digest:
    """Summarize a corpus, and tell which themes are new, grown, shrunk or vanished since the last
    digest of it."""
    async with charged(request.budget(), request.prompts):
        figures = await summarize_corpus.fn(await request.summary())
        report: Any = quote(await report_of(figures))  # as above: not to be walked through
        digest = await compared(request, report)
        await publish_digest(digest, report)
        await keep_digest(report, digest)
    return digest
