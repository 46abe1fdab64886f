"""Records behind the guard: SQL with names of tables and columns, composed in this one place.

Every name comes from registered rules, never from a model, and is quoted; every value is a
parameter, written as PostgreSQL writes it and cast by it. The model's side reads as one role, what
was approved is applied as another; neither can do more than it was granted.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, LiteralString

from psycopg import sql

from infra.errors import DatabaseError, SettingsError
from infra.postgres import Connection, fetch, transaction
from infra.settings import get_settings
from infra.sql import queries

_GRANTS: tuple[LiteralString, ...] = (
    "grant usage on schema {schema} to {proposer}, {applier}",
    "grant select ({readable}) on {table} to {proposer}",
    "grant select on {table} to {applier}",
    "grant update ({writable}) on {table} to {applier}",
)


@dataclass(frozen=True)
class Place:
    """Records of one table. ``name``: schema.table; ``key``: its key's column; ``types``: of its
    columns, as the catalogue writes them; ``where``: SQL of those who run it, by which records may
    be touched at all."""

    name: str
    key: str
    types: Mapping[str, str]
    where: str | None = None


def qualified(name: str) -> sql.Identifier:
    """schema.table, quoted."""
    return sql.Identifier(*name.split(".", 1))


@asynccontextmanager
async def acting_as(connection: Connection, role: str) -> AsyncIterator[None]:
    """Act as a role inside a transaction: PostgreSQL itself refuses what it was not granted."""
    await connection.execute(sql.SQL("set local role {}").format(sql.Identifier(role)))
    yield
    await connection.execute("reset role")


@asynccontextmanager
async def rehearsal() -> AsyncIterator[Connection]:
    """A transaction of which nothing is kept."""
    async with transaction() as connection, connection.transaction(force_rollback=True):
        yield connection


async def find(place: Place, by: str, value: str, column: str, limit: int) -> list[dict[str, Any]]:
    """``{key, old}`` of the records in which the column ``by`` has the value, as the proposer, in a
    transaction that only reads; ``old``: what ``column`` holds. At most ``limit``."""
    statement = sql.SQL(
        "select {key}::text as key, {column}::text as old from {table}"
        " where {by} = {value}::text::{type}{where} order by {key} limit {limit}"
    ).format(
        key=sql.Identifier(place.key),
        column=sql.Identifier(column),
        table=qualified(place.name),
        by=sql.Identifier(by),
        value=sql.Placeholder(),
        type=_sql(place.types[by]),
        where=_where(place),
        limit=sql.Literal(limit),
    )
    async with transaction() as connection:
        await connection.execute("set transaction read only")
        async with acting_as(connection, get_settings().proposer_role):
            return await (await connection.execute(statement, [value])).fetchall()


async def lock_record(
    connection: Connection, place: Place, key: str, columns: Sequence[str]
) -> dict[str, Any] | None:
    """The record of a key, locked until the transaction ends: ``{column: text}`` of the columns,
    and the whole record as ``__record``. None when there is none that may be touched."""
    cells = sql.SQL(", ").join(
        sql.SQL("{}::text as {}").format(sql.Identifier(each), sql.Identifier(each))
        for each in columns
    )
    statement = sql.SQL(
        "select {cells}, to_jsonb(t) as __record from {table} as t"
        " where {key} = {value}::text::{type}{where} for update"
    ).format(
        cells=cells,
        table=qualified(place.name),
        key=sql.Identifier(place.key),
        value=sql.Placeholder(),
        type=_sql(place.types[place.key]),
        where=_where(place),
    )
    return await (await connection.execute(statement, [key])).fetchone()


async def set_cells(
    connection: Connection, place: Place, key: str, values: Mapping[str, str | None]
) -> None:
    """Give columns of one record new values. Raises DatabaseError when that is not one record."""
    sets = sql.SQL(", ").join(
        sql.SQL("{} = {}::text::{}").format(
            sql.Identifier(column), sql.Placeholder(), _sql(place.types[column])
        )
        for column in values
    )
    statement = sql.SQL("update {table} set {sets} where {key} = {value}::text::{type}").format(
        table=qualified(place.name),
        sets=sets,
        key=sql.Identifier(place.key),
        value=sql.Placeholder(),
        type=_sql(place.types[place.key]),
    )
    done = await connection.execute(statement, [*values.values(), key])
    if done.rowcount != 1:
        raise DatabaseError(f"{place.name}: {done.rowcount} records would change instead of one.")


async def written(value: str, kind: str) -> str:
    """A value of the type as PostgreSQL writes it. Raises DatabaseError for what is none."""
    statement = sql.SQL("select {}::text::{}::text as value").format(sql.Placeholder(), _sql(kind))
    async with rehearsal() as connection:
        row = await (await connection.execute(statement, [value])).fetchone()
    assert row is not None
    return str(row["value"])


async def run_script(statements: str) -> None:
    """Run SQL that is trusted, such as a sample's tables, in one transaction."""
    async with transaction() as connection:
        await connection.execute(_sql(statements))


async def require_roles() -> None:
    """Make the two roles where we may. Raises SettingsError with what a superuser has to run where
    we may not, and for a role that could do more than it is granted."""
    settings = get_settings()
    for role in (settings.proposer_role, settings.applier_role):
        try:
            await fetch("make_role", {"role": role})
        except DatabaseError as error:
            raise SettingsError(
                f"The role {role} is missing, and this database's user may not make it. Let a "
                f"superuser run:\n{role_statements()}"
            ) from error
        [state] = await fetch("state_of_role", {"role": role})
        if state["powerful"]:
            raise SettingsError(
                f"The role {role} is a powerful one of PostgreSQL: it could do more than it is "
                "granted. Name another in PATTERNS_PROPOSER_ROLE and PATTERNS_APPLIER_ROLE."
            )


def role_statements() -> str:
    """What a superuser runs to make the roles, for the user that runs this project."""
    settings = get_settings()
    return "\n".join(
        f'create role "{role}" nologin; grant "{role}" to current_user;'
        for role in (settings.proposer_role, settings.applier_role)
    )


async def grant(
    connection: Connection,
    readable: Mapping[str, Sequence[str]],
    writable: Mapping[str, Sequence[str]],
) -> None:
    """Give the proposer the readable columns of tables, the applier all of them to read and the
    writable ones to change, and take everything else away from both. By table: schema.table."""
    settings = get_settings()
    for role in (settings.proposer_role, settings.applier_role):
        granted = await connection.execute(queries()["granted_tables"], {"role": role})
        for row in await granted.fetchall():
            name = sql.Identifier(row["schema"], row["table"])
            revoke = sql.SQL("revoke all on {} from {}").format(name, sql.Identifier(role))
            await connection.execute(revoke)
    await grant_besides(connection, readable, writable)


async def grant_besides(
    connection: Connection,
    readable: Mapping[str, Sequence[str]],
    writable: Mapping[str, Sequence[str]],
) -> None:
    """`grant`, but nothing is taken away."""
    settings = get_settings()
    proposer, applier = (sql.Identifier(r) for r in (settings.proposer_role, settings.applier_role))
    for table, columns in readable.items():
        names = {
            "schema": sql.Identifier(table.split(".", 1)[0]),
            "table": qualified(table),
            "proposer": proposer,
            "applier": applier,
            "readable": _names(columns),
            "writable": _names(writable[table]),
        }
        for text in _GRANTS:
            await connection.execute(sql.SQL(text).format(**names))


def _names(columns: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, columns))


def _where(place: Place) -> sql.Composable:
    # Beside parameters, a percent sign has to be written twice.
    text = (place.where or "true").replace("%", "%%")
    return sql.SQL(" and ({})").format(_sql(text))


def _sql(text: str) -> sql.SQL:
    """SQL that is trusted: a type of the catalogue, a condition in the file of rules."""
    return sql.SQL(text)
