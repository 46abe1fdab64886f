"""From tree and words to the report: code counts, orders and cites; the model only worded."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from infra.embeddings import embedder_name
from infra.postgres import fetch
from infra.providers import model_of
from tasks.findings import Figures, Finding, GroupNarrative, Quote, Report, Section, keep_citations
from tasks.prompts import load_prompt
from tasks.quotes import quotes_of, sentences_of
from tasks.report import files_in
from tasks.runs import is_transient, together
from tasks.steps import current_root_run
from tasks.summaries import prompts_of
from tasks.timeline import count_timeline
from tasks.wording import Synthesis, Words, answer

if TYPE_CHECKING:
    from tasks.corpus import Corpus
    from tasks.facts import Facts
    from tasks.tree import Node, Tree

_GROUPS = 12  # largest groups that get a narrative
_GROUP_THEMES = 5  # largest themes of a group that its narrative is made from
_RARE_TITLE = 70  # characters
_NAMED = 20  # tickets of one lost passage


class Evidence:
    """Which records stand behind facts, in the corpus' order, and the groups that they are in."""

    def __init__(self, corpus: "Corpus", facts: "Facts") -> None:
        records = corpus.records
        self.tickets = tuple(records["id"])
        self.happened_at = {
            id_: at.to_pydatetime()
            for id_, at in zip(records["id"], records["happened_at"], strict=True)
            if at == at  # not NaT
        }
        self.group_of = {
            id_: group
            for id_, group in zip(records["id"], records["group"], strict=True)
            if isinstance(group, str)
        }
        self._order = {id_: place for place, id_ in enumerate(self.tickets)}
        self._records = list(facts.table["record"])

    def of(self, rows: Sequence[int]) -> tuple[str, ...]:
        """Ids of the records that have these facts, given as rows of the facts' table."""
        return tuple(sorted({self._records[row] for row in rows}, key=self._order.__getitem__))

    def groups(self, tickets: Sequence[str]) -> dict[str, int]:
        """Tickets by group."""
        return dict(
            sorted(Counter(self.group_of[t] for t in tickets if t in self.group_of).items())
        )


@task(
    name="assemble report",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=1,
    retry_delay_seconds=5,
    retry_condition_fn=is_transient,
)
async def assemble(
    corpus: "Corpus",
    facts: "Facts",
    tree: "Tree",
    words: Mapping[int, Words],
    synthesis: Synthesis,
    folder: Path,
    started: datetime,
) -> Report:
    """The report, with everything counted from the corpus' records."""
    evidence = Evidence(corpus, facts)
    plain, in_words = _without_citations(words)
    quotes = await quotes_of(tree, facts, plain)
    themes = [_theme(leaf, plain[leaf.id], quotes[leaf.id], evidence, tree) for leaf in tree.leaves]
    findings = (*themes, *_rare(tree, facts, evidence))
    sources = {tree.name_of(leaf.id): plain[leaf.id].sources for leaf in tree.leaves}
    narratives, in_groups, unsaid = await _narratives(corpus, evidence, themes, sources)
    headline, in_headline = keep_citations(synthesis.headline, ())
    narrative, in_overview = _narrative(headline, synthesis.overview, tree, plain, evidence)
    period, timeline = count_timeline(findings, evidence.happened_at)
    return Report(
        source=corpus.name,
        made_at=datetime.now(UTC),
        strategy=facts.strategy,
        chat_model=" and ".join(dict.fromkeys((model_of("fast"), model_of("strong")))),
        embedder=embedder_name(),
        prompt_versions={
            name: load_prompt(name).version
            for name in prompts_of(facts.strategy, corpus.columns.group_by)
        },
        synthesis=narrative,
        tickets=evidence.tickets,
        sections=tuple(_sections(tree, plain, headline, evidence)),
        findings=findings,
        unassigned=facts.unassigned,
        group_by=corpus.columns.group_by,
        groups=narratives,
        period=period,
        timeline=timeline,
        generation=tree.generation,
        refitted=tree.refitted,
        lost=(*_lost(facts, tree, words, synthesis), *unsaid),
        figures=Figures(
            tickets=len(evidence.tickets),
            covered=len(evidence.tickets) - len(facts.unassigned),
            unassigned=len(facts.unassigned),
            invalid_citations=facts.invalid_quotes
            + sum((in_words, in_headline, in_overview, in_groups)),
            findings=len(findings),
            nodes=len(tree.nodes),
            seconds=(datetime.now(UTC) - started).total_seconds(),
            report=str(files_in(folder).html),
            findings_file=str(files_in(folder).parquet),
            **await run_totals(),
        ),
    )


def _lost(
    facts: "Facts", tree: "Tree", words: Mapping[int, Words], synthesis: Synthesis
) -> list[str]:
    """What failed for good, each with the reason."""
    lost = [
        f"passage {sha256[:12]}{_named(facts.failed_in.get(sha256, ()))}: {why}"
        for sha256, why in sorted(facts.failed.items())
    ]
    lost += [f"{tree.name_of(leaf)}: not compared with its neighbour" for leaf in tree.undecided]
    lost += [
        f"{tree.name_of(n)}: {said.failed}" for n, said in sorted(words.items()) if said.failed
    ]
    return lost + ([f"synthesis: {synthesis.failed}"] if synthesis.failed else [])


def _named(tickets: Sequence[str]) -> str:
    """The tickets that a piece of text is in; of many only the first, since the report lists, in
    `Report.unassigned`, all that are in nothing else."""
    more = f" and {len(tickets) - _NAMED:,} more" if len(tickets) > _NAMED else ""
    return f" of {', '.join(tickets[:_NAMED])}{more}" if len(tickets) else ""


async def run_totals() -> dict[str, Any]:
    """Model calls, cache hits, tokens and cost of the current run, from the ledger."""
    [row] = await fetch("run_totals", {"root_run": current_root_run()})
    return row


def _theme(
    leaf: "Node", words: Words, quotes: tuple[Quote, ...], evidence: Evidence, tree: "Tree"
) -> Finding:
    tickets = evidence.of(leaf.facts)
    return Finding(
        id=tree.name_of(leaf.id),
        kind="theme",
        title=words.title,
        detail=words.detail,
        severity=words.severity,
        ticket_ids=tickets,
        quotes=quotes,
        groups=evidence.groups(tickets),
        parent=tree.name_of(tree.parent_of(leaf.id)),
    )


def _rare(tree: "Tree", facts: "Facts", evidence: Evidence) -> list[Finding]:
    """A finding for each distinct rare fact, in the order of the corpus."""
    by_fact: dict[str, list[int]] = {}
    for row in tree.rare:
        by_fact.setdefault(facts.table["fact"].iloc[row], []).append(row)
    found = []
    for number, rows in enumerate(by_fact.values(), max(tree.nodes, default=0) + 1):
        first, tickets = facts.table.iloc[rows[0]], evidence.of(rows)
        own = sentences_of(first["problem"]) if facts.strategy == "embed" else []
        said = first["quote"] or next(iter(own), "")
        found.append(
            Finding(
                id=f"F{number}",
                kind="rare",
                title=_shortened(first["problem"]),
                severity=first["severity"],
                ticket_ids=tickets,
                quotes=(Quote(ticket=tickets[0], text=said),) if said else (),
                groups=evidence.groups(tickets),
            )
        )
    return found


def _sections(
    tree: "Tree",
    words: Mapping[int, Words],
    headline: str,
    evidence: Evidence,
) -> list[Section]:
    """The inner nodes, each after its children, the root last."""
    root = Words(title="All themes", detail=headline)
    return [
        Section(
            id=tree.name_of(node.id),
            title=said.title,
            detail=said.detail,
            children=tuple(tree.name_of(child) for child in node.children),
            ticket_count=len(evidence.of(tree.facts_under(node.id))),
        )
        for node in tree.bottom_up()
        if node.children
        for said in [root if node.id == tree.root else words[node.id]]
    ]


def _narrative(
    headline: str, said: str, tree: "Tree", words: Mapping[int, Words], evidence: Evidence
) -> tuple[str, int]:
    """The synthesis as paragraphs: the model's, with the citations that are right, and one in which
    code counts the parts, the largest first; and how many citations were dropped."""
    known = [tree.name_of(child) for child in tree.branches]
    overview, dropped = keep_citations(said, known)
    counts = {child: len(evidence.of(tree.facts_under(child))) for child in tree.branches}
    parts = [
        f"{words[child].title} ({counts[child]}) [{tree.name_of(child)}]"
        for child in sorted(counts, key=lambda each: (-counts[each], each))
    ]
    counted = f"Of {len(evidence.tickets)} tickets: {'; '.join(parts)}." if parts else ""
    paragraphs = [part for part in (headline, overview, counted) if part.strip()]
    return "\n\n".join(paragraphs), dropped


async def _narratives(
    corpus: "Corpus",
    evidence: Evidence,
    themes: Sequence[Finding],
    sources: Mapping[str, tuple[str, ...]],
) -> tuple[tuple[GroupNarrative, ...], int, list[str]]:
    """Every group, the largest first, the largest ones with a sentence on what they report; how
    many citations were dropped; and the sentences that could not be had, with the reason.
    ``sources``: what the words of each theme rest on."""
    if corpus.columns.group_by is None:
        return (), 0, []
    counts = evidence.groups(evidence.tickets)
    groups = sorted(counts, key=lambda group: (-counts[group], group))
    told = await together(_sentence(group, themes, sources) for group in groups[:_GROUPS])
    said = dict(zip(groups, told, strict=False))
    plain = {group: keep_citations(text, ()) for group, (text, _) in said.items()}
    narratives = tuple(
        GroupNarrative(group=group, tickets=counts[group], text=plain.get(group, ("", 0))[0])
        for group in groups
    )
    # By its place, not by its name: that is text of the corpus, and this goes into messages.
    whys = [why for _, why in said.values()]
    unsaid = [f"sentence of group {place}: {why}" for place, why in enumerate(whys, 1) if why]
    return narratives, sum(dropped for _, dropped in plain.values()), unsaid


async def _sentence(
    group: str, themes: Sequence[Finding], sources: Mapping[str, tuple[str, ...]]
) -> tuple[str, str | None]:
    """What a group reports most, in a sentence; or none, and why."""
    most = sorted(themes, key=lambda theme: (-theme.groups.get(group, 0), theme.id))
    shown = [theme for theme in most[:_GROUP_THEMES] if group in theme.groups]
    if not shown:
        return "", None
    # In an order of their own: a changed count alone must not change what the model reads.
    lines = sorted(f"- {theme.title}: {theme.detail}" for theme in shown)
    rests_on = tuple(dict.fromkeys(source for theme in shown for source in sources[theme.id]))
    said = await answer("describe_group", {"themes": "\n".join(lines)}, rests_on)
    return ("", said) if isinstance(said, str) else (str(getattr(said, "sentence", "")), None)


def _without_citations(words: Mapping[int, Words]) -> tuple[dict[int, Words], int]:
    """The words without citations, which only code may make, and how many were dropped."""
    plain, dropped = {}, 0
    for node, said in words.items():
        title, in_title = keep_citations(said.title, ())
        detail, in_detail = keep_citations(said.detail, ())
        plain[node] = said.model_copy(update={"title": title, "detail": detail})
        dropped += in_title + in_detail
    return plain, dropped


def _shortened(text: str) -> str:
    one_line = " ".join(text.split())
    short = one_line if len(one_line) <= _RARE_TITLE else one_line[: _RARE_TITLE - 1].rstrip() + "…"
    return keep_citations(short, ())[0]
