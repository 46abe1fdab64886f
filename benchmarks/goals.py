"""What share of ten goals on the sample data is reached: `python -m benchmarks.goals`.

    goal → saved workflow with its slots filled, or a model's own plan → tools → answer → check

Each goal has a check of what was done and of what was said, by rules. Both ways of planning are
measured, and the agent on the same goals. Calls that write are approved, as a
person would, when they are the ones that were asked for. The model is the settings' own; everything
lies in a folder of its own unless PATTERNS_HOME names one. `--show` prints the answers.
"""

import argparse
import asyncio
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.servers import home

EXAMPLES = Path(__file__).parents[1] / "examples"


@dataclass(frozen=True)
class Goal:
    """A goal, and whether an answer reaches it; ``cell``: of a change that it asks for; ``did``: a
    pattern of what has to have been done, such as which days were looked at."""

    words: str
    reached: Callable[[str], bool]
    cell: str = ""
    did: str = ""


def every(*patterns: str) -> Callable[[str], bool]:
    """Whether all patterns are found in an answer, in whatever order and case."""
    return lambda said: all(re.search(each, said, re.IGNORECASE | re.DOTALL) for each in patterns)


def _three_problems(said: str) -> bool:
    tickets = set(re.findall(r"T-1\d\d\d", said))
    return (
        len(tickets) >= 3 and len(said) > 600 and bool(re.search("true|false|yes|no", said, re.I))
    )


GOALS = (
    Goal(
        "What were the three biggest problems in the last week, is each answered in the knowledge "
        "base, and draft a reply to one ticket of each.",
        _three_problems,
        did=r"summarize_tickets\(.*days\W+7\b",
    ),
    Goal(
        "How many tickets are there for each product?",
        every(r"\b45\b", r"\b37\b", r"\b12\b", r"\b10\b"),
    ),
    Goal("What do you charge us if a driver has mislaid one of the GPS units?", every(r"\b69\b")),
    Goal(
        "How long after the erasure of a former employee's data do the Owners get the certificate?",
        every(r"\b(7|seven)\b"),
    ),
    Goal("Draft a reply to ticket T-1005.", every(r"hello|dear|hi\b", r"invoice|debit|twice")),
    Goal(
        "Pause subscription 101.",
        every("subscription"),
        cell="crm.subscriptions.paused of record 101",
    ),
    Goal(
        "Change the phone number of Ostermoor Heating to +44 1632 960333.",
        every("customer|phone"),
        cell="crm.customers.phone of record 3",
    ),
    Goal(
        "Sort the four newest tickets by category and urgency.",
        every("T-1104", "T-1103", "T-1102", "T-1101", "low|medium|high|critical"),
    ),
    Goal("How many tickets came in in each week?", every(r"W10", r"W11", r"W12", r"W15")),
    Goal(
        "Which customers in the table crm.customers have more than 30 of credit?",
        every("Brackenfield", "Pinnacle"),
    ),
)  # fmt: skip


# Written after the workflows, and looked at only to count.
OTHERS = (
    Goal(
        "Which two problems are reported most by customers, over all tickets?",
        every(r"tickets: \d+.*tickets: \d+"),
        did=r"summarize_tickets\(.*most\W+2\b",
    ),
    Goal("How many tickets arrived in each month?", every("2026-03", "2026-04")),
    Goal(
        "How many colleagues in our firm can have full rights, contract and bank details included?",
        every(r"\b(4|four)\b"),
    ),
    Goal("What is the price of one additional Planner seat per month?", every("not in the doc")),
    Goal("Write an answer to the customer of T-1009.", every(r"hello|dear|hi\b", "export|timeout")),
    Goal(
        "Set the seats of subscription 105 to 20.",
        every("subscription|seat"),
        cell="crm.subscriptions.seats of record 105",
    ),
    Goal(
        "Mark ticket T-1008 as solved in the database.",
        every("ticket"),
        cell="crm.tickets.status of record T-1008",
    ),
    Goal(
        "Categorize the three latest tickets that mention the scanner.",
        every(r"T-1\d\d\d.*T-1\d\d\d.*T-1\d\d\d", "bug|how-to|feature|other"),
        did="scanner",
    ),
    Goal("List the ids of all subscriptions for Waypeg in crm.subscriptions.", every("103", "110")),
    Goal(
        "By which day of the month must I release a seat so that the next bill is without it?",
        every(r"\b25"),
    ),
)


async def prepare() -> None:
    """The sample tickets, handbook and customer database, where they are not there yet."""
    from infra.postgres import database_url
    from infra.read_only_database import readable_tables
    from tasks.change_rules import register, set_up
    from tasks.corpus import Columns, load_corpus
    from tasks.document_collections import list_collections
    from tasks.ingestion import IngestRequest
    from tasks.kept_corpora import add_records

    columns = Columns(group_by="product")
    tickets = await load_corpus(str(EXAMPLES / "tickets.csv"), columns)
    await add_records("support", tickets)
    await set_up(EXAMPLES / "crm" / "schema.sql")
    await register(EXAMPLES / "crm" / "rules.yaml", "benchmark")
    await readable_tables()  # makes the role
    with psycopg.connect(database_url()) as connection:
        connection.execute("grant usage on schema crm to patterns_reader")
        connection.execute("grant select on crm.customers, crm.subscriptions to patterns_reader")
    if "help" not in {each.name for each in await list_collections()}:
        from flows.rag import ingest_documents

        source = str(EXAMPLES / "knowledge_base")
        await ingest_documents(IngestRequest(source=source, collection="help"))


async def attempt(goal: Goal, way: str) -> dict[str, Any]:
    """Pursue a goal: whether it was reached, and how."""
    from flows.agentic_workflow import work_on_task
    from flows.controller import pursue_goal
    from infra.errors import PatternsError
    from tasks.goals import GoalRequest
    from tasks.task_plans import TaskRequest

    approving = asyncio.create_task(_approve(goal))
    started = time.monotonic()
    found: dict[str, Any] = {"goal": goal.words, "way": way, "answer": "", "error": ""}
    try:
        if way == "agent":
            task = await work_on_task(TaskRequest(task=goal.words))
            found |= {"answer": task.answer, "how": [call.line for call in task.calls]}
        else:
            done = await pursue_goal(GoalRequest(goal=goal.words, planning=way))  # type: ignore[arg-type]
            found |= {"answer": done.answer, "saved": done.saved, "params": done.params}
            found["how"] = [
                f"{step.tool}({json.dumps(step.arguments)})" for step in done.workflow.steps
            ]
    except PatternsError as error:
        found["error"] = f"{type(error).__name__}: {error}"
    finally:
        approving.cancel()
    found["seconds"] = round(time.monotonic() - started, 1)
    changed = await _changed()
    did = json.dumps([found.get("how"), found.get("params")])
    as_asked = goal.cell in changed if goal.cell else not changed
    found["reached"] = bool(goal.reached(found["answer"]) and as_asked and re.search(goal.did, did))
    return found


_changes_before = 0


async def _changed() -> str:
    """The cells that a goal has changed."""
    from tasks.change_application import changes

    global _changes_before
    done = await changes(100)
    new = done[: len(done) - _changes_before]
    _changes_before = len(done)
    return "; ".join(f"{c.table}.{c.column} of record {c.key}" for each in new for c in each.cells)


async def _approve(goal: Goal) -> None:
    """Approve what waits, as a person who asked for the goal would."""
    from tasks.decisions import decide
    from tasks.review_chain import digest
    from tasks.review_rules import ReasonCode, ReviewAnswer, Verdict
    from tasks.reviews import reviews

    while True:
        await asyncio.sleep(0.5)
        for each in await reviews():
            wanted = bool(goal.cell) and all(
                word in each.draft.text for word in re.findall(r"\w+", goal.cell)[1:3]
            )
            answer = ReviewAnswer(
                verdict=Verdict.APPROVE if wanted else Verdict.REJECT,
                reviewer="benchmark",
                reason="" if wanted else "It is not what was asked for.",
                reason_code=ReasonCode.NONE if wanted else ReasonCode.NOT_WANTED,
                shown_sha256=digest(each.text),
            )
            await decide(each.id, answer)


async def measured(goals: tuple[Goal, ...], ways: list[str], show: bool, only: list[int]) -> None:
    from infra.llm import close_door

    try:
        await prepare()
        await _changed()
        for way in ways:
            chosen = [goal for n, goal in enumerate(goals, 1) if not only or n in only]
            results = list[dict[str, Any]]()
            for goal in chosen:
                each = await attempt(goal, way)
                results.append(each)
                mark = "reached" if each["reached"] else "NOT reached"
                print(f"{way}  {mark}  {each['seconds']} s  {each['goal']}", flush=True)
                if show or not each["reached"]:
                    print(json.dumps(each, ensure_ascii=False, indent=1), flush=True)
            reached = sum(each["reached"] for each in results)
            print(f"{way}: {reached} of {len(results)} goals reached", flush=True)
    finally:
        await close_door()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--way", action="append", choices=["saved", "free", "auto", "agent"])
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--others", action="store_true", help="Ten other goals.")
    parser.add_argument("--only", type=int, action="append", default=[], help="Number of a goal.")
    given = parser.parse_args()
    goals, ways = OTHERS if given.others else GOALS, given.way or ["saved", "free", "agent"]
    with home(named=True):
        asyncio.run(measured(goals, ways, given.show, given.only))


if __name__ == "__main__":
    main()
