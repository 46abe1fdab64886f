"""The result of a synthesis, as frozen types that check what they promise.

    Report
    ├── tickets      every id of the corpus, in canonical order (time, id)
    ├── sections     inner nodes of one tree, each after its children, the root last
    ├── findings     themes (the tree's leaves) and rare findings (in no section)
    ├── unassigned   ticket id -> why no finding has it
    └── synthesis, groups, timeline, figures

A report whose numbers do not follow from its tickets cannot be made: building one raises
``pydantic.ValidationError``. Numbers are counted here, never taken from a model.
"""

import re
from collections import Counter
from collections.abc import Iterable
from datetime import date
from itertools import pairwise
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    model_validator,
)

Severity = Literal["low", "medium", "high", "critical"]
Period = Literal["day", "week", "month", "year"]

_ID = "[FS][0-9]+"
CITATION = rf"\[\s*{_ID}(?:\s*(?:[,;–-]|and)\s*{_ID})*\s*\]"  # as in [F3], [F3, S4], [F3-F5]
_CITATION = re.compile(CITATION)
_WITH_SPACE = re.compile(rf"(\s*)({CITATION})")
_RANGE = re.compile(r"([FS])([0-9]+)\s*[–-]\s*\1([0-9]+)")
_MOST_CITED = 100  # ids of one range


def _encodable(text: str) -> str:
    """Models may answer half a surrogate pair, which no file can hold."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


Text = Annotated[str, AfterValidator(_encodable)]
FindingId = Annotated[str, Field(pattern=r"^F[0-9]+$")]
SectionId = Annotated[str, Field(pattern=r"^S[0-9]+$")]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Quote(_Frozen):
    """Words that stand verbatim in a ticket."""

    ticket: Text
    text: Text


class Finding(_Frozen):
    """A theme, or a rare finding: what some tickets say, with every one of them as evidence.

    ``ticket_ids`` are in canonical order; ``groups`` is this finding's row of the cross-table
    (tickets without a group are in no cell); ``parent`` is a theme's section, None for a rare one.
    """

    id: FindingId
    kind: Literal["theme", "rare"]
    title: Text
    detail: Text = ""
    severity: Severity | None = None
    ticket_ids: tuple[Text, ...] = Field(min_length=1)
    quotes: tuple[Quote, ...] = ()
    groups: dict[Text, PositiveInt] = Field(default_factory=dict)
    parent: SectionId | None = None

    @property
    def count(self) -> int:
        """Number of its tickets."""
        return len(self.ticket_ids)


class Section(_Frozen):
    """An inner node: an area, or a theme that is split into sub-themes. The last is the root."""

    id: SectionId
    title: Text
    detail: Text = ""
    children: tuple[str, ...] = Field(min_length=1)
    ticket_count: PositiveInt


class GroupNarrative(_Frozen):
    """A column of the cross-table: a group, its tickets, and what is particular to it."""

    group: Text
    tickets: NonNegativeInt
    text: Text = ""


class TimelinePoint(NamedTuple):
    """Tickets of one finding (None: of the whole corpus) in the period that starts on a date."""

    start: date
    finding: str | None
    tickets: int


class Figures(_Frozen):
    """The run in numbers; what ``patterns summarize --json`` prints."""

    tickets: NonNegativeInt
    covered: NonNegativeInt
    unassigned: NonNegativeInt
    invalid_citations: NonNegativeInt
    findings: NonNegativeInt
    nodes: NonNegativeInt
    model_calls: NonNegativeInt
    cache_hits: NonNegativeInt
    prompt_tokens: NonNegativeInt
    completion_tokens: NonNegativeInt
    cost_usd: float | None = Field(None, ge=0, description="None: the model's price is unknown.")
    seconds: float = Field(ge=0)
    report: Text | None = None
    findings_file: Text | None = None


class Report(_Frozen):
    """A synthesis with its evidence. ``synthesis`` is the root's narrative and cites [F12].

    ``lost``: what failed for good, each with the reason: a passage, a node's words, a sentence.
    ``generation``: of the codebook, in which a theme's id is always the same theme's.
    """

    source: Text
    made_at: AwareDatetime
    strategy: Literal["read", "embed"]
    chat_model: str
    embedder: str
    prompt_versions: dict[str, str] = Field(default_factory=dict)
    synthesis: Text
    tickets: tuple[Text, ...]
    sections: tuple[Section, ...] = ()
    findings: tuple[Finding, ...] = ()
    unassigned: dict[Text, Text] = Field(default_factory=dict)
    group_by: Text | None = None
    groups: tuple[GroupNarrative, ...] = ()
    period: Period = "week"
    timeline: tuple[TimelinePoint, ...] = ()
    generation: PositiveInt = 1
    refitted: bool = False
    lost: tuple[Text, ...] = ()
    figures: Figures

    @property
    def themes(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.kind == "theme")

    @property
    def rare(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.kind == "rare")

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_tree(self)
        _check_evidence(self)
        _check_groups(self)
        _check_timeline(self)
        known = {*(s.id for s in self.sections), *(f.id for f in self.findings)}
        for text in (self.synthesis, *(g.text for g in self.groups)):
            _require(cited(text) <= known, f"cited but missing: {cited(text) - known}")
        return self


def cited(text: str) -> set[str]:
    """Ids of the findings and sections that a text cites, as in [F12] or [F3, F4]."""
    return {each for match in _CITATION.finditer(text) for each in _ids(match[0])}


def keep_citations(text: str, known: Iterable[str]) -> tuple[str, int]:
    """The text without citations of ids that are not known, and how many were dropped."""
    allowed, dropped = set(known), 0

    def rewrite(match: re.Match[str]) -> str:
        nonlocal dropped
        ids = _ids(match[2])
        kept = [each for each in ids if each in allowed]
        dropped += len(ids) - len(kept)
        return f"{match[1]}[{', '.join(kept)}]" if kept else ""

    while not cited(text) <= allowed:  # again, for what a dropped one leaves may be one itself
        text = _WITH_SPACE.sub(rewrite, text)
    return text, dropped


def split_citations(text: str) -> list[tuple[str, list[str]]]:
    """A text in pieces: (plain words, ids cited right after them); ``"a [F1] b"`` gives two."""
    pieces, end = [], 0
    for match in _CITATION.finditer(text):
        pieces.append((text[end : match.start()], _ids(match[0])))
        end = match.end()
    return [*pieces, (text[end:], [])]


def evidence(report: Report, node: str) -> tuple[str, ...]:
    """Ids of the tickets under a finding or section, in canonical order.

    Those of a section are the union of its children's. An unknown id is a KeyError.
    """
    found = _evidence(report.sections, report.findings)[node]
    return tuple(ticket for ticket in report.tickets if ticket in found)


def _ids(citation: str) -> list[str]:
    return re.findall(_ID, _RANGE.sub(_listed, citation))


def _listed(span: re.Match[str]) -> str:
    """A range of ids as a list."""
    first, last = int(span[2]), int(span[3])
    if not first < last <= first + _MOST_CITED:
        return f"{span[1]}{first}, {span[1]}{last}"
    return ", ".join(f"{span[1]}{number}" for number in range(first, last + 1))


def _evidence(sections: Iterable[Section], findings: Iterable[Finding]) -> dict[str, set[str]]:
    found = {finding.id: set(finding.ticket_ids) for finding in findings}
    for section in sections:
        found[section.id] = set().union(*(found[child] for child in section.children))
    return found


def _require(promise: bool, otherwise: str) -> None:
    if not promise:
        raise ValueError(otherwise)


def _check_tree(report: Report) -> None:
    ids = [*(f.id for f in report.findings), *(s.id for s in report.sections)]
    _require(len(ids) == len(set(ids)), "two nodes have the same id")
    parents: dict[str, str] = {}
    earlier = {finding.id for finding in report.themes}
    for section in report.sections:
        for child in section.children:
            _require(child in earlier, f"{section.id}: {child} is not a node that stands before it")
            _require(child not in parents, f"{child} is under two sections")
            parents[child] = section.id
        earlier.add(section.id)
    for finding in report.findings:
        _require(finding.parent == parents.get(finding.id), f"{finding.id}: not its parent's child")
    loose = earlier - parents.keys()
    _require(loose <= {s.id for s in report.sections[-1:]}, f"outside the tree: {loose}")


def _check_evidence(report: Report) -> None:
    place = {ticket: index for index, ticket in enumerate(report.tickets)}
    _require(len(place) == len(report.tickets), "a ticket is listed twice")
    for finding in report.findings:
        places = [place.get(ticket, -1) for ticket in finding.ticket_ids]
        _require(-1 not in places, f"{finding.id} has a ticket that is not in the corpus")
        _require(
            all(a < b for a, b in pairwise(places)),
            f"{finding.id}: tickets are not in canonical order, each once",
        )
        own = set(finding.ticket_ids)
        _require({q.ticket for q in finding.quotes} <= own, f"{finding.id} quotes another's ticket")
    found = _evidence(report.sections, report.findings)
    for section in report.sections:
        _require(section.ticket_count == len(found[section.id]), f"{section.id}: wrong count")
    covered, unassigned = set().union(*found.values()), report.unassigned.keys()
    _require(not covered & unassigned, "a ticket is under a finding and unassigned")
    _require(covered | unassigned == place.keys(), "a ticket is neither covered nor unassigned")
    counted = (len(place), len(covered), len(unassigned), len(report.findings))
    f = report.figures
    stated = (f.tickets, f.covered, f.unassigned, f.findings)
    _require(stated == counted, f"figures say {stated}, the data {counted}")


def _check_groups(report: Report) -> None:
    names = [narrative.group for narrative in report.groups]
    _require(len(names) == len(set(names)), "a group is listed twice")
    _require(report.group_by is not None or not names, "groups without group_by")
    for finding in report.findings:
        _require(finding.groups.keys() <= set(names), f"{finding.id}: unknown group")
        _require(sum(finding.groups.values()) <= finding.count, f"{finding.id}: groups exceed it")


def _check_timeline(report: Report) -> None:
    totals: Counter[str | None] = Counter()
    for point in report.timeline:
        _require(point.tickets > 0, "an empty period is listed")
        totals[point.finding] += point.tickets
    bounds: dict[str | None, int] = {finding.id: finding.count for finding in report.findings}
    bounds[None] = len(report.tickets)
    for finding, total in totals.items():
        _require(total <= bounds.get(finding, 0), f"timeline of {finding} exceeds its tickets")
