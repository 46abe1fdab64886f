"""A report, written to its folder whole or not at all, and shown on the run's page.

report.html        one self-contained page
report.md          the same to read in a terminal
report.json        the `Report` itself; loads back to an equal one
findings.parquet   one row a finding, with all its evidence
"""

import asyncio
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

from prefect import task
from prefect.artifacts import acreate_markdown_artifact

from infra.errors import StorageError
from tasks.findings import Report
from tasks.report_markdown import markdown_artifact, markdown_report
from tasks.report_page import html_report
from tasks.runs import RETRIED

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


class ReportFiles(NamedTuple):
    """Where the parts of a report lie."""

    html: Path
    json: Path
    markdown: Path
    parquet: Path


@task(name="publish report", **RETRIED)
async def publish_report(report: Report, folder: Path) -> ReportFiles:
    """Write the report, and leave a Markdown artifact `summary-report` on the run's page."""
    files = await asyncio.to_thread(write_report, report, folder)
    shown = await asyncio.to_thread(markdown_artifact, report)
    await acreate_markdown_artifact(shown, key="summary-report", description="Synthesis")
    return files


def files_in(folder: Path) -> ReportFiles:
    """Where the parts of a report lie when it is written to a folder."""
    names = ("report.html", "report.json", "report.md", "findings.parquet")
    return ReportFiles(*(folder / name for name in names))


def write_report(report: Report, folder: Path) -> ReportFiles:
    """Write all parts of a report; an earlier one in the folder is replaced only when all are made.

    Raises StorageError when the folder cannot be written: disk full, read-only, not a folder.
    """
    files = files_in(folder)
    parts = (
        html_report(report).encode(),
        report.model_dump_json(indent=1).encode(),
        markdown_report(report).encode(),
        _parquet(report),
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder, prefix=".report-") as unfinished:
            made = files_in(Path(unfinished))
            for path, content in zip(made, parts, strict=True):
                _write(path, content)
            # The JSON last: as long as it is the old one, the others may be as well.
            for path, place in sorted(
                zip(made, files, strict=True), key=lambda p: p[1] == files.json
            ):
                path.replace(place)
    except OSError as error:
        raise StorageError(
            f"The report cannot be written to {folder}: {error.strerror or error}. "
            "Free some space or make the folder writable, or name another one, and run again."
        ) from error
    return files


def findings_frame(report: Report) -> "pd.DataFrame":
    """One row a finding, in the report's order; nothing is cut.

    Columns: id, kind ("theme", "rare"), title, detail, severity (missing where unknown), count,
    ticket_ids (list), quotes (list), quoted_tickets (list, aligned with quotes), group (list of
    {value, count}; missing without group-by), path (list: titles of its sections, from the top).
    """
    import pandas as pd

    return pd.DataFrame(_rows(report), columns=_schema().names)


def _rows(report: Report) -> list[dict[str, Any]]:
    paths: dict[str, list[str]] = {}
    for section in reversed(report.sections):  # parents first
        here = paths.setdefault(section.id, [])
        deeper = [*here, section.title] if section is not report.sections[-1] else []
        paths |= dict.fromkeys(section.children, deeper)
    return [
        {
            "id": finding.id,
            "kind": finding.kind,
            "title": finding.title,
            "detail": finding.detail,
            "severity": finding.severity,
            "count": finding.count,
            "ticket_ids": list(finding.ticket_ids),
            "quotes": [quote.text for quote in finding.quotes],
            "quoted_tickets": [quote.ticket for quote in finding.quotes],
            "group": None
            if report.group_by is None
            else [{"value": value, "count": n} for value, n in finding.groups.items()],
            "path": paths.get(finding.id, []),
        }
        for finding in report.findings
    ]


def _schema() -> "pa.Schema":
    import pyarrow as pa

    texts = pa.list_(pa.string())
    return pa.schema(
        {
            "id": pa.string(),
            "kind": pa.string(),
            "title": pa.string(),
            "detail": pa.string(),
            "severity": pa.string(),
            "count": pa.int64(),
            "ticket_ids": texts,
            "quotes": texts,
            "quoted_tickets": texts,
            "group": pa.list_(pa.struct({"value": pa.string(), "count": pa.int64()})),
            "path": texts,
        }
    )


def _parquet(report: Report) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    sink = pa.BufferOutputStream()
    parquet.write_table(pa.Table.from_pylist(_rows(report), schema=_schema()), sink)
    return bytes(sink.getvalue())


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
