"""Tools that read tables by SQL, as a role of the database that can do nothing else."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from infra import read_only_database as reader
from infra.errors import InputError
from tasks.asking import ask
from tasks.replies import WrittenQuery
from tasks.tools import tool

_TRIES = 3  # to write a query that runs


class QueryResult(BaseModel):
    """Rows of a query, each by column; ``more``: there are others that are not told."""

    model_config = ConfigDict(frozen=True)

    rows: list[dict[str, Any]]
    more: bool
    sql: str


def is_usable() -> bool:
    """Whether there is a role that can only read."""
    return reader.is_configured()


@tool(seconds=30)
async def query_records(
    sql: Annotated[str, Field(description="One PostgreSQL query that only reads.")],
) -> QueryResult:
    """Read tables of the database with a SQL query."""
    return await queried(sql)


@tool(model_calls=2)
async def ask_records(
    question: Annotated[str, Field(description="What to find out, in words.")],
) -> QueryResult:
    """Read tables of the database with a query that is written for a question."""
    tables = "\n".join(
        f"{each.name}: {', '.join(each.columns)}" for each in await reader.readable_tables()
    )
    fault = "none"
    for _ in range(_TRIES):
        asked = {"tables": tables, "question": question, "fault": fault}
        reply = await ask("write_query", asked)
        assert isinstance(reply.value, WrittenQuery)
        try:
            return await queried(reply.value.sql)
        except InputError as error:
            fault = f"{reply.value.sql}\n{error}"
    raise InputError(f"No query for the question runs. The last one: {fault}")


async def queried(sql: str) -> QueryResult:
    """The rows of a query. Raises InputError for one that is refused."""
    found = await reader.read_rows(sql)
    rows = [dict(zip(found.columns, row, strict=True)) for row in found.rows]
    return QueryResult(rows=rows, more=found.more, sql=sql)
