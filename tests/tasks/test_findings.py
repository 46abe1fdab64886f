"""What a report promises, and that one which breaks a promise cannot be made."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.findings import (
    Finding,
    GroupNarrative,
    Quote,
    Report,
    Section,
    TimelinePoint,
    cited,
    evidence,
    keep_citations,
    split_citations,
)
from tests.tasks.reports import HOSTILE, figures, many, nothing, reports, sample


def with_finding(number: int, **changes: Any) -> Report:
    findings = list(sample().findings)
    findings[number] = Finding.model_validate(findings[number].model_dump() | changes)
    return sample(findings=tuple(findings))


def with_section(number: int, **changes: Any) -> Report:
    sections = list(sample().sections)
    sections[number] = Section.model_validate(sections[number].model_dump() | changes)
    return sample(sections=tuple(sections))


def test_the_evidence_of_a_section_is_the_union_of_its_childrens() -> None:
    report = sample()
    assert evidence(report, "F2") == ("T-2", "T-3")
    assert evidence(report, "S1") == ("T-1", "T-2", "T-3", "T-4")
    assert evidence(report, "S2") == ("T-1", "T-2", "T-3", "T-4", "T-5")


@given(reports())
def test_every_ticket_is_covered_or_unassigned_and_never_both(report: Report) -> None:
    covered = [ticket for finding in report.findings for ticket in finding.ticket_ids]
    assert set(covered) | set(report.unassigned) == set(report.tickets)
    assert not set(covered) & set(report.unassigned)
    assert report.figures.covered + report.figures.unassigned == report.figures.tickets
    for section in report.sections:
        children = set().union(*(evidence(report, child) for child in section.children))
        own = evidence(report, section.id)
        assert set(own) == children
        assert list(own) == sorted(own, key=report.tickets.index)


@given(reports())
def test_a_report_survives_json(report: Report) -> None:
    assert Report.model_validate_json(report.model_dump_json()) == report


@pytest.mark.parametrize(
    ("broken", "fault"),
    [
        (lambda: with_finding(1, id="F1"), "same id"),
        (lambda: with_finding(1, id="S1"), "F\\[0-9\\]"),
        (lambda: with_finding(1, ticket_ids=()), "at least 1"),
        (lambda: with_finding(1, ticket_ids=("T-3", "T-2")), "canonical order"),
        (lambda: with_finding(1, ticket_ids=("T-2", "T-2", "T-3")), "canonical order"),
        (lambda: with_finding(1, ticket_ids=("T-2", "T-9")), "not in the corpus"),
        (lambda: with_finding(1, ticket_ids=("T-2", "T-3", "T-7")), "wrong count"),
        (lambda: with_finding(3, ticket_ids=("T-6", "T-7")), "and unassigned"),
        (lambda: with_finding(0, quotes=(Quote(ticket="T-3", text="x"),)), "another's ticket"),
        (lambda: with_finding(1, parent="S2"), "not its parent's child"),
        (lambda: with_finding(1, parent=None), "not its parent's child"),
        (lambda: with_finding(3, parent="S2"), "not its parent's child"),
        (lambda: with_finding(1, groups={"Web": 3}), "groups exceed"),
        (lambda: with_finding(1, groups={"Desktop": 1}), "unknown group"),
        (lambda: with_section(1, children=("S1", "F3", "F4")), "stands before it"),
        (lambda: with_section(1, children=("S1", "F3", "F8")), "stands before it"),
        (lambda: with_section(1, children=("S1", "F3", "F1")), "under two sections"),
        (lambda: with_section(1, children=("F3",)), "outside the tree"),
        (lambda: with_section(0, children=("F1", "F2", "S2")), "stands before it"),
        (lambda: with_section(0, ticket_count=5), "wrong count"),
        (lambda: sample(sections=()), "not its parent's child"),
        (lambda: sample(unassigned={}), "neither covered nor unassigned"),
        (lambda: sample(unassigned={"T-7": "", "T-8": ""}), "neither covered nor unassigned"),
        (lambda: sample(tickets=("T-1", *sample().tickets)), "listed twice"),
        (
            lambda: sample(figures=figures(tickets=7, covered=7, unassigned=0, findings=4)),
            "figures say",
        ),
        (
            lambda: sample(figures=figures(tickets=7, covered=6, unassigned=1, findings=5)),
            "figures say",
        ),
        (lambda: sample(synthesis="As [F9] says."), "cited but missing: {'F9'}"),
        (
            lambda: sample(groups=[GroupNarrative(group="Web", tickets=4, text="[F9]")] * 2),
            "listed twice",
        ),
        (lambda: sample(group_by=None), "without group_by"),
        (
            lambda: sample(timeline=(TimelinePoint(sample().timeline[0].start, "F3", 2),)),
            "exceeds its tickets",
        ),
        (
            lambda: sample(timeline=(TimelinePoint(sample().timeline[0].start, "F9", 1),)),
            "exceeds its tickets",
        ),
        (
            lambda: sample(timeline=(TimelinePoint(sample().timeline[0].start, "F1", 0),)),
            "empty period",
        ),
    ],
)
def test_a_report_that_breaks_a_promise_cannot_be_made(broken: Any, fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        broken()


def test_a_report_of_nothing_can_be_made() -> None:
    report = nothing()
    assert report.themes == report.rare == ()


def test_half_a_surrogate_pair_is_replaced_since_no_file_can_hold_it() -> None:
    assert Quote(ticket="a", text="\ud83d\ude00 \ud800").text == "😀 \ufffd"


def test_citations_stand_alone_or_in_lists() -> None:
    assert cited("a [F1], b [F2, S3; F4] c [ F5 ]") == {"F1", "F2", "S3", "F4", "F5"}
    assert cited("F1 [x] [F] [1] [F1+F3] [f1] [F١]") == set()


def test_unknown_citations_are_dropped_and_counted() -> None:
    text = "One [F1]. Two [F2, F9]. Three [F8]. Four [[F9]F7]."
    kept, dropped = keep_citations(text, {"F1", "F2"})
    assert kept == "One [F1]. Two [F2]. Three. Four."
    assert dropped == 4


@given(st.text("[]FS19, ") | st.sampled_from(HOSTILE), st.sets(st.sampled_from(("F1", "S9"))))
def test_whatever_is_kept_cites_only_what_is_known(text: str, known: set[str]) -> None:
    kept, dropped = keep_citations(text, known)
    assert cited(kept) <= known
    assert (dropped == 0) == (kept == text) or cited(text) <= known


@pytest.mark.parametrize("several", ["[F1-F2]", "[F1 – F2]", "[F1 and F2]", "[F1; F2]", "[F1,F2]"])
def test_several_citations_in_one_are_citations(several: str) -> None:
    assert cited(f"It hangs {several}.") == {"F1", "F2"}
    assert keep_citations(f"It hangs {several}.", {"F2"}) == ("It hangs [F2].", 1)


def test_a_text_is_split_at_its_citations() -> None:
    assert split_citations("a [F1] b [F2, F3].") == [
        ("a ", ["F1"]),
        (" b ", ["F2", "F3"]),
        (".", []),
    ]


def test_a_large_report_is_checked_as_a_whole() -> None:
    report = many(5000, 150, rare=50)
    assert len(report.themes) == 150
    assert len(evidence(report, report.sections[-1].id)) == sum(f.count for f in report.themes)
