"""Corpora kept in PostgreSQL: they grow, and a worker that shares no disk reads them by name."""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from infra.errors import InputError
from infra.postgres import Connection, fetch, repeated, transaction
from infra.sql import queries
from tasks.columns import Columns
from tasks.suggestions import did_you_mean

if TYPE_CHECKING:
    import pandas as pd

    from tasks.corpus import Corpus

_NAME = re.compile(r"[\w.-]{1,100}")


class Addition(BaseModel):
    """What adding records to a kept corpus did, in records."""

    model_config = ConfigDict(frozen=True)

    added: int
    changed: int
    unchanged: int


class KeptCorpus(BaseModel):
    """A kept corpus at a glance. Times are UTC, None when no record has one."""

    model_config = ConfigDict(frozen=True)

    name: str
    records: int
    group_by: str | None
    first_at: datetime | None
    last_at: datetime | None
    created_at: datetime


async def add_records(name: str, corpus: "Corpus") -> Addition:
    """Add a corpus' records to the one kept under a name, which is made when it is new.

    A record whose id is there replaces it. All is written, or nothing.

    Raises InputError for a name that cannot be one, or another grouping than the kept corpus has.
    """
    if not _NAME.fullmatch(name):
        raise InputError(
            f"'{name}' cannot name a corpus: use letters, digits, '.', '_' and '-', at most 100."
        )
    group_by = corpus.columns.group_by
    async with transaction() as connection:
        kept = await _one(connection, "open_corpus", {"name": name, "group_by": group_by})
        if kept["group_by"] != group_by:
            raise InputError(
                f"The corpus {name} is grouped by the column '{kept['group_by']}'. "
                "Add records with the same --group-by."
            )
        await connection.execute(queries()["make_incoming_records"])
        await _copy(connection, corpus.records)
        written = await _one(connection, "upsert_incoming_records", {"corpus_id": kept["id"]})
    unchanged = len(corpus.records) - written["added"] - written["changed"]
    return Addition(**written, unchanged=unchanged)


async def list_corpora() -> list[KeptCorpus]:
    """The kept corpora, by name."""
    return [KeptCorpus(**row) for row in await fetch("list_corpora")]


async def read_corpus(name: str) -> KeptCorpus:
    """One kept corpus; ``corpus:`` before its name is no matter. Raises InputError for an unknown
    name."""
    kept = {each.name: each for each in await list_corpora()}
    if found := kept.get(name.removeprefix("corpus:")):
        return found
    raise _unknown(name, kept)


async def read_records(name: str, since: datetime | None = None) -> tuple["pd.DataFrame", Columns]:
    """A kept corpus' records, in no order, as `tasks.corpus.Corpus` has them, and its columns.

    With ``since``, those that happened at or after it. Raises InputError for an unknown name.
    """
    import pandas as pd

    async def found(connection: Connection) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        kept = await _find(connection, name)
        place = {"corpus_id": kept["id"], "since": since}
        cursor = await connection.execute(queries()["read_corpus_records"], place)
        return kept, await cursor.fetchall()

    kept, rows = await repeated(found)
    table = pd.DataFrame(rows, columns=["id", "text", "happened_at", "group", "kind"], dtype=object)
    records = table.astype({"id": "str", "happened_at": "datetime64[us, UTC]", "kind": "str"})
    columns = Columns(id="id", text=("text",), time="happened_at", group_by=kept["group_by"])
    return records, columns


async def remove_records(name: str, ids: Sequence[str]) -> list[str]:
    """Remove records from a kept corpus; the ids of those that were there, sorted.

    Raises InputError for an unknown name.
    """
    async with transaction() as connection:
        kept = await _find(connection, name)
        place = {"corpus_id": kept["id"], "ids": list(ids)}
        cursor = await connection.execute(queries()["remove_corpus_records"], place)
        return sorted(row["id"] for row in await cursor.fetchall())


async def remove_corpus(name: str) -> None:
    """Remove a kept corpus with its records. Raises InputError for an unknown name."""
    async with transaction() as connection:
        kept = await _find(connection, name)
        await connection.execute(queries()["remove_corpus"], {"corpus_id": kept["id"]})


async def _find(connection: Connection, name: str) -> dict[str, Any]:
    cursor = await connection.execute(queries()["find_corpus"], {"name": name})
    if row := await cursor.fetchone():
        return row
    cursor = await connection.execute(queries()["list_corpora"])
    raise _unknown(name, [row["name"] for row in await cursor.fetchall()])


def _unknown(name: str, names: Iterable[str]) -> InputError:
    """The error for a corpus that is none of those there are."""
    return InputError(
        f"There is no corpus '{name}'.{did_you_mean(name, names)} `patterns corpus list` shows "
        "those there are; `patterns corpus add FILE NAME` makes one."
    )


async def _one(connection: Connection, name: str, params: dict[str, Any]) -> dict[str, Any]:
    (row,) = await (await connection.execute(queries()[name], params)).fetchall()
    return row


async def _copy(connection: Connection, records: "pd.DataFrame") -> None:
    times = records["happened_at"]
    rows = zip(
        records["id"],
        times.astype(object).where(times.notna(), None),
        records["text"],
        records["group"],
        records["kind"],
        strict=True,
    )
    async with connection.cursor().copy(queries()["copy_incoming_records"]) as copy:
        copy.set_types(["text", "timestamptz", "text", "text", "text"])
        for row in rows:
            await copy.write_row(row)
