"""Questions to tables: a model writes the query, a role that can only read runs it."""

import json

import pytest

from infra.errors import InputError
from tasks.record_queries import ask_records, query_records
from tests.endpoint import ScriptedEndpoint, user_text
from tests.infra.test_read_only_database import granted

__all__ = ["granted"]  # a fixture


def says(endpoint: ScriptedEndpoint, *queries: str) -> None:
    left = list(queries)
    endpoint.answer = lambda body, n: json.dumps({"sql": left.pop(0)})


async def test_a_query_gives_rows_by_column(granted: str) -> None:
    found = await query_records.run(sql="select id, note from shop.orders order by id")
    assert found.rows == [{"id": 1, "note": "one"}, {"id": 2, "note": None}]
    assert not found.more


async def test_a_query_is_written_from_the_tables_that_may_be_read(
    granted: str, endpoint: ScriptedEndpoint
) -> None:
    says(endpoint, "select count(*) as n from shop.orders")
    found = await ask_records.run(question="How many orders are there?")
    assert (found.rows, found.sql) == ([{"n": 2}], "select count(*) as n from shop.orders")
    asked = user_text(endpoint.calls[0])
    assert "shop.orders: id integer, note text" in asked
    assert "secrets" not in asked


async def test_a_query_that_is_refused_is_mended(granted: str, endpoint: ScriptedEndpoint) -> None:
    says(endpoint, "select total from shop.orders", "select count(*) as n from shop.orders")
    assert (await ask_records.run(question="How many?")).rows == [{"n": 2}]
    assert 'column "total" does not exist' in user_text(endpoint.calls[1])


async def test_a_query_that_is_never_allowed_is_given_up(
    granted: str, endpoint: ScriptedEndpoint
) -> None:
    says(endpoint, *(f"delete from shop.orders where id = {n}" for n in range(9)))
    with pytest.raises(InputError, match="No query for the question runs"):
        await ask_records.run(question="Delete all")
    assert len(endpoint.calls) == 3
