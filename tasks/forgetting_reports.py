"""Tickets that are forgotten, taken out of reports: what was worded from them has no words any
more, all that was counted stays."""

import asyncio
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from prefect import task
from pydantic import ValidationError

from infra.settings import get_settings
from infra.storage import writing
from tasks.digest_report import write_digest
from tasks.digests import Digest, ThemeChange
from tasks.findings import Finding, Report
from tasks.forgetting import Forgetting
from tasks.report import files_in, write_report
from tasks.runs import RETRIED
from tasks.traces import FORGOTTEN, Traces

_UNFINISHED = (".report-*", ".digest-*")  # folders of what a killed run was writing
_DIGEST = ("digest.html", "digest.md", "digest.json")  # beside a report


@task(name="forget in reports", **RETRIED)
async def forget_in_reports(forgetting: Forgetting, folders: Iterable[Path]) -> list[str]:
    """Rewrite the reports in these folders, and in those of the home, that a ticket is in, with
    their digests; the paths of their tables of findings. What cannot be read any more is removed
    whole.

    Raises StorageError.
    """
    found = list[str]()
    for folder in dict.fromkeys([*_at_home(), *folders]):
        if await asyncio.to_thread(_rewritten, folder, forgetting):
            found.append(str(files_in(folder).parquet))
    return found


def emptied(report: Report, forgetting: Forgetting) -> Report:
    """A report without the words that rest on the tickets: those of their themes, of what is above
    these, and of the whole. The same report where there are none."""
    words = forgetting.words
    own = {*forgetting.tickets} if report.source in forgetting.sources else set[str]()
    hit = {each.id for each in report.findings if _has(each, own, words)}
    for section in report.sections:
        if hit & {*section.children} or words.are_in(f"{section.title}\n{section.detail}"):
            hit.add(section.id)
    if not hit and not words.are_in(report.synthesis):
        return report
    findings = tuple(
        each.model_copy(
            update={
                **_WITHOUT_WORDS,
                "quotes": tuple(
                    q for q in each.quotes if q.ticket not in own and not words.are_in(q.text)
                ),
            }
        )
        if each.id in hit
        else each
        for each in report.findings
    )
    groups = {group for each in findings if each.id in hit for group in each.groups}
    return report.model_copy(
        update={
            "findings": findings,
            "sections": tuple(
                each.model_copy(update=_WITHOUT_WORDS) if each.id in hit else each
                for each in report.sections
            ),
            "groups": tuple(
                each.model_copy(update={"text": ""}) if each.group in groups else each
                for each in report.groups
            ),
            "synthesis": f"{FORGOTTEN} A ticket that it rested on was forgotten. Summarize again.",
        }
    )


_WITHOUT_WORDS = {"title": FORGOTTEN, "detail": ""}


def _has(finding: Finding, tickets: set[str], words: Traces) -> bool:
    said = (finding.title, finding.detail, *(quote.text for quote in finding.quotes))
    return bool(tickets & {*finding.ticket_ids}) or any(map(words.are_in, said))


def _at_home() -> Iterator[Path]:
    return (each.parent for each in (get_settings().home / "reports").glob("*/report.json"))


def _rewritten(folder: Path, forgetting: Forgetting) -> bool:
    """Whether the report of a folder had words of the tickets, and has none now."""
    with writing(folder):
        for left in (each for pattern in _UNFINISHED for each in folder.glob(pattern)):
            shutil.rmtree(left)
    file = files_in(folder).json
    if not file.is_file():
        return False
    try:
        report = Report.model_validate_json(file.read_text(encoding="utf-8"))
    except ValidationError:
        parts = sorted(files_in(folder), key=lambda path: path == file)
        return _removed([*(folder / name for name in _DIGEST), *parts], forgetting)
    left_of_it = emptied(report, forgetting)
    if left_of_it != report:
        write_report(left_of_it, folder)
    return _digest_rewritten(folder, left_of_it, forgetting) or left_of_it != report


def _digest_rewritten(folder: Path, report: Report, forgetting: Forgetting) -> bool:
    """Whether the digest beside a report, which has no words of the tickets any more, had some."""
    parts = [folder / name for name in _DIGEST]
    if not parts[-1].is_file():
        return False
    try:
        digest = Digest.model_validate_json(parts[-1].read_text(encoding="utf-8"))
    except ValidationError:
        return _removed(parts, forgetting)
    hit = {each.id for each in report.themes if each.title == FORGOTTEN}

    def without(changes: Sequence[ThemeChange]) -> tuple[ThemeChange, ...]:
        return tuple(
            each.model_copy(update={"title": FORGOTTEN})
            if each.theme in hit or forgetting.words.are_in(each.title)
            else each
            for each in changes
        )

    kinds = ("new", "grown", "shrunk", "vanished", "unchanged")
    left_of_it = digest.model_copy(update={kind: without(getattr(digest, kind)) for kind in kinds})
    if left_of_it == digest:
        return False
    here = {"digest": str(parts[0])}  # the folder may have been moved since
    write_digest(left_of_it.model_copy(update=here), report)
    return True


def _removed(parts: Sequence[Path], forgetting: Forgetting) -> bool:
    """Whether files that belong together had words of the tickets, and are gone now; the last one
    last, by which the others are found."""
    said = (each.read_text(encoding="utf-8", errors="replace") for each in parts if each.is_file())
    if not any(map(forgetting.words.are_in, said)):
        return False
    with writing(parts[-1].parent):
        for each in parts:
            each.unlink(missing_ok=True)
    return True
