import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra import llm
from infra.budget import RunContext, current_run
from infra.errors import ModelUnavailable
from tasks.assembly import Evidence, assemble
from tasks.columns import Columns
from tasks.corpus import Corpus
from tasks.facts import Facts, Strategy
from tasks.findings import Report, cited
from tasks.tree import Node, Tree
from tasks.wording import Synthesis, Words
from tests.endpoint import Body, Fault, Said, ScriptedEndpoint, user_text

COLUMNS = ["record", "passage", "fact", "problem", "severity", "quote", "quote_dropped"]
MONDAY = datetime(2026, 9, 21, 8, tzinfo=UTC)
FactRow = tuple[str, str, str | None]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llm, "_pause", lambda tries, error: 0.0)
    monkeypatch.setenv("PATTERNS_CHAT_MODEL", "nobody:asked")


def corpus_of(tickets: Mapping[str, str | None], group_by: str | None = None) -> Corpus:
    """Tickets with their groups, one a day."""
    rows = [
        (id_, "", MONDAY + timedelta(days=day), group, "ticket")
        for day, (id_, group) in enumerate(tickets.items())
    ]
    records = pd.DataFrame(rows, columns=["id", "text", "happened_at", "group", "kind"])
    records["happened_at"] = pd.to_datetime(records["happened_at"], utc=True)
    return Corpus("/data/tickets.csv", records, Columns(group_by=group_by))


def facts_of(rows: Sequence[FactRow], strategy: Strategy = "read", dropped: int = 0) -> Facts:
    """A fact for each (ticket, problem, quote); equal problems are equal facts."""
    table = pd.DataFrame(
        [(ticket, said, said, said, "low", quote, False) for ticket, said, quote in rows],
        columns=COLUMNS,
        dtype=object,
    )
    return Facts(strategy, table, np.zeros((len(rows), 384), np.float32), {}, dropped, {})


def leaves_of(*leaves: Sequence[str]) -> tuple[Tree, Facts]:
    """Leaves 1, 2, … under the root, by the tickets that have a fact in them."""
    rows: list[FactRow] = []
    nodes = {}
    for number, tickets in enumerate(leaves, 1):
        own = tuple(range(len(rows), len(rows) + len(tickets)))
        rows += [(ticket, f"{number} of {ticket}", None) for ticket in tickets]
        nodes[number] = Node(number, (), own, own[:6])
    return Tree({**nodes, 0: Node(0, tuple(nodes))}, (), False), facts_of(rows)


def titled(*titles: str) -> dict[int, Words]:
    return {number: Words(title=title) for number, title in enumerate(titles, 1)}


async def report_of(
    corpus: Corpus,
    facts: Facts,
    tree: Tree,
    words: Mapping[int, Words],
    synthesis: Synthesis | None = None,
) -> Report:
    facts.unassigned = {
        ticket: "it is empty"
        for ticket in corpus.records["id"]
        if ticket not in set(facts.table["record"])
    }
    said = synthesis or Synthesis(headline="All of it.")
    token = current_run.set(RunContext(root_run=uuid4()))
    try:
        return await assemble.fn(corpus, facts, tree, words, said, Path("/out"), MONDAY)
    finally:
        current_run.reset(token)


@settings(max_examples=40)
@given(st.permutations([f"T{n}" for n in range(8)]), st.lists(st.integers(0, 11)))
def test_evidence_is_in_the_order_of_the_corpus_with_each_record_once(
    order: list[str], rows: list[int]
) -> None:
    facts = facts_of([(f"T{n % 8}", "it hangs", None) for n in range(12)])
    found = Evidence(corpus_of(dict.fromkeys(order)), facts).of(rows)
    assert list(found) == [ticket for ticket in order if ticket in {f"T{n % 8}" for n in rows}]


def test_what_has_no_group_and_no_time_is_counted_in_none() -> None:
    corpus = corpus_of({"T3": "web", "T1": None, "T2": "app", "T4": "web"})
    corpus.records.loc[corpus.records["id"] == "T2", "happened_at"] = pd.NaT
    evidence = Evidence(corpus, facts_of([]))
    assert list(evidence.groups(["T1", "T2", "T3", "T4"]).items()) == [("app", 1), ("web", 2)]
    assert list(evidence.happened_at) == ["T3", "T1", "T4"]
    assert evidence.happened_at["T3"] == MONDAY


@pytest.mark.usefixtures("database")
async def test_rare_facts_are_findings_of_their_own_in_the_order_of_the_corpus() -> None:
    tickets = dict.fromkeys(("T9", "T1", "T5", "T2"))
    long = "The export of the monthly report [F4] for our branch offices hangs at last"
    rows = [
        ("T9", "export hangs", "Export hangs"),
        ("T1", "login fails", None),
        ("T5", "wrong bill", None),
        ("T5", "export hangs", "It hangs"),
        ("T2", long, None),
    ]
    leaf = Node(4, (), (2,), (2,))
    tree = Tree({4: leaf, 0: Node(0, (4,))}, (0, 1, 3, 4), False)
    report = await report_of(corpus_of(tickets), facts_of(rows), tree, {4: Words(title="Bills")})
    found = {finding.id: finding for finding in report.rare}
    assert list(found) == ["F5", "F6", "F7"]
    assert [f.ticket_ids for f in found.values()] == [("T9", "T5"), ("T1",), ("T2",)]
    assert [found[id_].title for id_ in ("F5", "F6")] == ["export hangs", "login fails"]
    assert [(q.ticket, q.text) for q in found["F5"].quotes] == [("T9", "Export hangs")]
    assert found["F6"].quotes == (), "the words of the model are no quote"
    assert found["F7"].title.startswith("The export of the monthly report")
    assert len(found["F7"].title) <= 70
    assert cited(found["F7"].title) == set()


@pytest.mark.usefixtures("database")
async def test_a_rare_passage_is_quoted_by_its_first_sentence() -> None:
    text = "???\n\nThe  export hangs at 30 %. Regards, Ann"
    facts = facts_of([("T1", text, None), ("T2", "12 %\n!", None)], "embed")
    tree = Tree({0: Node(0)}, (0, 1), False)
    first, second = (await report_of(corpus_of(dict.fromkeys(("T1", "T2"))), facts, tree, {})).rare
    assert [quote.text for quote in first.quotes] == ["The  export hangs at 30 %."]
    assert first.title == "??? The export hangs at 30 %. Regards, Ann"
    assert second.quotes == ()


CITING = st.lists(
    st.sampled_from(["it hangs ", "[F1] ", "[S9] ", "[F2, F8] ", "[F77]"]), max_size=5
).map("".join)


@pytest.mark.usefixtures("database")
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CITING, CITING, CITING, CITING, st.integers(0, 3))
async def test_every_citation_that_is_dropped_is_counted_and_the_others_are_known(
    title: str, detail: str, headline: str, overview: str, quotes: int
) -> None:
    tree, facts = leaves_of(["T1"], ["T2"])
    facts.invalid_quotes = quotes
    words = {1: Words(title=title, detail=detail), 2: Words(title="Bills")}
    synthesis = Synthesis(headline=headline, overview=overview)
    report = await report_of(corpus_of({"T1": None, "T2": None}), facts, tree, words, synthesis)
    wrong = re.findall(r"[FS]\d+", title + detail + headline)
    wrong += re.findall(r"S\d+|F8|F77", overview)
    assert report.figures.invalid_citations == len(wrong) + quotes
    assert cited(report.synthesis) == {"F1", "F2"}
    assert cited(report.findings[0].title + report.findings[0].detail) == set()
    assert cited(report.sections[-1].detail) == set()


@pytest.mark.usefixtures("database")
async def test_code_counts_the_parts_of_the_whole_the_largest_first() -> None:
    tree, facts = leaves_of(["T1", "T1"], ["T1", "T2", "T3"], ["T4"])
    corpus = corpus_of(dict.fromkeys(("T4", "T3", "T2", "T1", "T0")))
    synthesis = Synthesis(headline="Exports hang.", overview="Fix exports first [F2].")
    report = await report_of(corpus, facts, tree, titled("Bills", "Exports", "Logins"), synthesis)
    assert report.synthesis.split("\n\n") == [
        "Exports hang.",
        "Fix exports first [F2].",
        "Of 5 tickets: Exports (3) [F2]; Bills (1) [F1]; Logins (1) [F3].",
    ]
    assert report.sections[-1].ticket_count == 4
    assert (report.figures.covered, report.unassigned) == (4, {"T0": "it is empty"})


@pytest.mark.usefixtures("database")
async def test_what_failed_for_good_is_named_with_the_reason() -> None:
    tree, facts = leaves_of(["T1"], ["T2"])
    facts.failed = {"b" * 64: "it was refused", "a" * 64: "no answer"}
    tree.undecided = (1, 2)
    words = {1: Words(title="Bills"), 2: Words(title="Logins", failed="ReplyTruncated")}
    synthesis = Synthesis(headline="All of it.", failed="ModelRefused")
    report = await report_of(corpus_of({"T1": None, "T2": None}), facts, tree, words, synthesis)
    assert report.lost == (
        "passage aaaaaaaaaaaa: no answer",
        "passage bbbbbbbbbbbb: it was refused",
        "F1: not compared with its neighbour",
        "F2: not compared with its neighbour",
        "F2: ReplyTruncated",
        "synthesis: ModelRefused",
    )


@pytest.mark.usefixtures("database")
async def test_of_nothing_the_report_is_its_headline() -> None:
    tree, facts = leaves_of()
    report = await report_of(corpus_of({}, "product"), facts, tree, {})
    assert report.synthesis == "All of it."
    assert (report.findings, report.sections, report.groups, report.timeline) == ((), (), (), ())


@pytest.mark.usefixtures("database")
async def test_only_the_largest_groups_are_described(endpoint: ScriptedEndpoint) -> None:
    endpoint.answer = lambda body, n: json.dumps({"sentence": "They cannot export [F1] it."})
    groups = {f"group {99 - n}": [f"T{n}-{m}" for m in range(15 - n)] for n in range(14)}
    tickets = {ticket: group for group, own in groups.items() for ticket in own}
    corpus = corpus_of(dict(reversed(tickets.items())), "product")
    tree, facts = leaves_of(*groups.values())
    report = await report_of(
        corpus, facts, tree, titled(*(f"theme {chr(97 + n)}" for n in range(14)))
    )
    assert [(g.group, g.tickets) for g in report.groups] == [(g, len(t)) for g, t in groups.items()]
    assert [bool(group.text) for group in report.groups] == [True] * 12 + [False] * 2
    assert all(cited(group.text) == set() for group in report.groups)
    asked = sorted(user_text(body) for body in endpoint.calls)
    assert asked == [f"<themes>\n- theme {letter}: \n</themes>" for letter in "abcdefghijkl"]


@pytest.mark.usefixtures("database")
async def test_a_group_is_described_by_its_largest_themes_whatever_their_numbers(
    endpoint: ScriptedEndpoint,
) -> None:
    letters = "fedcba"
    for sizes in ([6, 5, 4, 3, 2, 1], [2, 3, 4, 9, 6, 1]):
        leaves = [[f"T{n}-{m}" for m in range(size)] for n, size in enumerate(sizes)]
        tree, facts = leaves_of(*leaves)
        corpus = corpus_of({ticket: "web" for leaf in leaves for ticket in leaf}, "product")
        await report_of(corpus, facts, tree, titled(*letters))
    lines = "\n".join(f"- {letter}: " for letter in "bcdef")
    assert [user_text(body) for body in endpoint.calls] == [f"<themes>\n{lines}\n</themes>"]


@pytest.mark.usefixtures("database")
async def test_a_group_that_cannot_be_described_is_still_counted(
    endpoint: ScriptedEndpoint,
) -> None:
    def answer(body: Body, n: int) -> str | Said:
        refused = "poison" in user_text(body)
        return Said("", "content_filter") if refused else '{"sentence": "They log in."}'

    endpoint.answer = answer
    tree, facts = leaves_of(["T1"], ["T2"])
    corpus = corpus_of({"T1": "app", "T2": "web", "T3": "none"}, "product")
    words = titled("poison", "Logins")
    report = await report_of(corpus, facts, tree, words)
    told = [(group.group, group.tickets, group.text) for group in report.groups]
    assert told == [("app", 1, ""), ("none", 1, ""), ("web", 1, "They log in.")]
    assert report.lost == ("sentence of group 1: ModelRefused",)
    assert len(endpoint.calls) == 2
    endpoint.answer = lambda body, n: Fault(503)
    with pytest.raises(ModelUnavailable):
        await report_of(corpus, facts, tree, words)
