"""A corpus: records of one source, loaded, checked and in canonical order.

A source is written as

    PATH              .csv .tsv .json .jsonl (each also .gz), .parquet, .xlsx, a transcript
                      (.txt .md .vtt .srt), or a folder of transcripts
    corpus:NAME       a corpus that is kept in PostgreSQL
    sql:PATH          a file with one SQL query, which may use ``:since``
    query:SELECT …    the query itself, for deployments that share no disk

SQL reads PostgreSQL: the database of ``PATTERNS_SOURCE_DATABASE_URL``, else the project's own.
"""

import asyncio
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from prefect import task
from prefect.cache_policies import NO_CACHE

from infra import source_database
from infra.errors import DatabaseError, DatabaseUnavailable, InputError
from infra.processors import give_back_memory
from tasks import kept_corpora, tables, transcripts
from tasks.columns import Columns, recognise
from tasks.decoding import decode
from tasks.records import to_records
from tasks.runs import is_transient
from tasks.suggestions import did_you_mean

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Columns", "Corpus", "load", "load_corpus"]


class Corpus:
    """Records of one source. A plain class: Prefect does not walk its texts for futures.

    ``name`` is the lineage: an absolute path, ``corpus:NAME``, ``sql:`` and an absolute path, or
    ``query:`` and the start of the query's SHA-256. ``records``, a row a record, are in canonical
    order (happened_at, id), those without a time last:

    - id: str, unique
    - text: str, '' when the record has none
    - happened_at: UTC to the microsecond, or NaT
    - group: str or None
    - kind: 'ticket' or 'transcript'

    ``columns`` are those that were used, ``notes`` tell the user what had to be decided on reading.
    """

    __slots__ = ("columns", "name", "notes", "records")

    def __init__(
        self, name: str, records: "pd.DataFrame", columns: Columns, notes: tuple[str, ...] = ()
    ) -> None:
        self.name = name
        self.records = records.sort_values(
            ["happened_at", "id"], na_position="last", ignore_index=True
        )
        self.columns = columns
        self.notes = notes


class Source(NamedTuple):
    """A table, and the name of where it is from. ``chosen``: a query has chosen by time itself."""

    name: str
    table: "pd.DataFrame"
    notes: tuple[str, ...] = ()
    chosen: bool = False


async def load_corpus(
    source: str, columns: Columns | None = None, since: datetime | None = None
) -> Corpus:
    """The corpus of a source. The order of a file's rows changes nothing but the ids ``row-N``.

    With ``since`` (UTC unless it says otherwise) only records that happened at or after it, and so
    maybe none; a query with ``:since`` chooses them itself.

    Raises InputError naming file, row and column for what cannot be read, and for ``since`` on a
    source without times; DatabaseUnavailable.
    """
    named = columns or Columns()
    if since is not None and since.tzinfo is None:
        since = since.replace(tzinfo=UTC)
    if source.startswith("corpus:"):
        return await _kept(source, named, since)
    read = await read_source(source, since)
    recognised = recognise(named, list(read.table.columns), read.name)
    records, used, decided = await asyncio.to_thread(
        to_records, read.table, recognised, named, read.name
    )
    if since is not None and not read.chosen:
        records = _happened_since(since, records, used, read.name)
    return Corpus(read.name, records, used, (*read.notes, *decided))


async def read_source(source: str, since: datetime | None = None) -> Source:
    """The table of a source as it is: what `load_corpus` reads its records from.

    Raises what it raises.
    """
    if source.startswith("corpus:"):
        records, _ = await kept_corpora.read_records(source.removeprefix("corpus:"), since)
        return Source(source, records)
    if source.startswith(("sql:", "query:")):
        query, name = await asyncio.to_thread(_query, source)
        table = await _queried(query, name, since)
        return Source(name, table, chosen=source_database.takes_since(query))
    path = await asyncio.to_thread(_existing, source)
    table, notes = await asyncio.to_thread(_reader(path), path)
    return Source(str(path), table, tuple(notes))


@task(
    name="load corpus",
    retries=3,
    retry_delay_seconds=[1, 5, 15],
    retry_condition_fn=is_transient,
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def load(
    source: str, columns: Columns | None = None, since: datetime | None = None
) -> Corpus:
    """`load_corpus` as a task."""
    corpus = await load_corpus(source, columns, since)
    give_back_memory()  # of the table
    return corpus


async def _kept(source: str, named: Columns, since: datetime | None) -> Corpus:
    records, kept = await kept_corpora.read_records(source.removeprefix("corpus:"), since)
    names = [name for name in (kept.id, *kept.text, kept.time, kept.group_by) if name]
    recognise(named, names, source)
    if records.empty and since is None:
        raise InputError(f"{source} has no records. `patterns corpus add FILE NAME` adds some.")
    if named.group_by is None:
        records["group"] = None
    return Corpus(source, records, kept.model_copy(update={"group_by": named.group_by}))


def _query(source: str) -> tuple[str, str]:
    """The text of a SQL source, and its name."""
    scheme, _, rest = source.partition(":")
    if scheme == "query":
        return rest, f"query:{hashlib.sha256(rest.encode()).hexdigest()[:12]}"
    path = _existing(rest)
    text, _ = decode(path.read_bytes(), str(path))
    return text, f"sql:{path}"


async def _queried(query: str, name: str, since: datetime | None) -> "pd.DataFrame":
    import pandas as pd

    try:
        names, rows = await source_database.read(query, since)
    except DatabaseUnavailable:
        raise
    except DatabaseError as error:
        raise InputError(f"{name}: {error} Mend the query: one that only reads.") from error
    if not rows and since is None:
        raise InputError(f"{name} returned no records. Mend the query.")
    return pd.DataFrame(rows, columns=names, dtype=object)


def _existing(source: str) -> Path:
    path = Path(source).expanduser().absolute()
    if path.exists():
        return path
    folder = path.parent
    if not folder.is_dir():
        raise InputError(f"{path} does not exist, nor does its folder. Check the path.")
    near = did_you_mean(path.name, (file.name for file in folder.iterdir()))
    raise InputError(f"{path} does not exist.{near or ' Check the path.'}")


def _reader(path: Path) -> Callable[[Path], tuple["pd.DataFrame", list[str]]]:
    """What reads the path, by the ending of its name."""
    name = path.name.lower()
    if path.is_dir() or name.endswith(transcripts.SUFFIXES):
        return transcripts.read_transcripts
    if name.endswith(tables.SUFFIXES):
        return tables.read_table
    raise InputError(
        f"{path}: the ending of its name is none that can be read. Save it as one of "
        f"{', '.join((*tables.SUFFIXES, *transcripts.SUFFIXES))}."
    )


def _happened_since(
    since: datetime, records: "pd.DataFrame", columns: Columns, name: str
) -> "pd.DataFrame":
    if columns.time is None:
        raise InputError(
            f"{name} has no times to compare with {since:%Y-%m-%d}. Name their column with --time."
        )
    return records[records["happened_at"] >= since]
