"""What the agent and the controller may use: the other patterns, and what reads and speaks.

A flow that is a tool runs as what it is made of, inside the run that asks for it: not as a flow run
of its own, since Prefect gives a parent that starts anew the results of its subflows by their
order, and an agent's order is not fixed. Where a pattern would write it only proposes, and whoever
asked has it reviewed.
"""

from datetime import timedelta

from flows.recursive_summary import summarize_corpus
from tasks.change_tool import change_records
from tasks.composing import compose, write_down
from tasks.document_tools import ask_documents, search_documents
from tasks.http_tools import http_get, http_post
from tasks.http_tools import is_usable as may_speak
from tasks.kept_corpora import read_corpus
from tasks.kept_names import with_names
from tasks.label_tools import label_text
from tasks.record_queries import ask_records, query_records
from tasks.record_queries import is_usable as may_query
from tasks.reply_tools import classify, draft_reply
from tasks.summaries import SummaryRequest
from tasks.summary_themes import MostThemes, Theme, largest_themes
from tasks.ticket_tools import Corpus, Days, count_tickets, read_tickets
from tasks.tools import Tool, registry, tool


@tool(model_calls=20, seconds=1800)
async def summarize_tickets(corpus: Corpus, days: Days = None, most: MostThemes = 5) -> list[Theme]:
    """Find the largest problems in a corpus of tickets: themes with counts and ticket ids."""
    kept = await read_corpus(corpus)
    since = kept.last_at - timedelta(days=days) if days and kept.last_at else None
    figures = await summarize_corpus.fn(SummaryRequest(source=f"corpus:{kept.name}", since=since))
    return await largest_themes(figures, most)


async def offered_tools() -> dict[str, Tool]:
    """The tools that there are here and now, by name: those that lack a setting, or anything to
    read, are left out. They know the names of what they can read."""
    reading = (ask_documents, search_documents, summarize_tickets, read_tickets, count_tickets)
    writing = (classify, label_text, draft_reply, compose, write_down, change_records)
    records = (query_records, ask_records) if may_query() else ()
    web = (http_get, http_post) if may_speak() else ()
    known = registry(*reading, *writing, *records, *web)
    return {each.name: each for each in await with_names(known.values())}
