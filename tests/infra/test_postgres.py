"""The door to PostgreSQL, on a real one."""

from infra.postgres import transaction


async def test_a_transaction_gives_rows_as_dicts(database: str) -> None:
    async with transaction() as connection:
        cursor = await connection.execute("select 1 as one, '[1,2]'::halfvec as two")
        row = await cursor.fetchone()
    assert row["one"] == 1
