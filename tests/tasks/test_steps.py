import asyncio
from uuid import uuid4

import psycopg
import pytest
from pydantic import BaseModel, ConfigDict

from infra.budget import RunContext, current_run
from infra.errors import DatabaseError
from tasks.steps import once

pytestmark = pytest.mark.usefixtures("database")


class Letter(BaseModel):
    model_config = ConfigDict(frozen=True)

    text: str
    pages: tuple[float, ...] = ()


class Maker:
    """Makes another letter each time, and counts."""

    def __init__(self) -> None:
        self.made = 0

    async def __call__(self) -> Letter:
        self.made += 1
        await asyncio.sleep(0)
        return Letter(text=f"letter {self.made}", pages=(0.1, 1e22))


async def test_a_step_is_made_once_for_a_run_and_found_ever_after() -> None:
    run, make = uuid4(), Maker()
    first = await once("letter", make, Letter, run)
    assert first == Letter(text="letter 1", pages=(0.1, 1e22))
    assert await once("letter", make, Letter, run) == first
    assert make.made == 1


async def test_other_runs_and_other_keys_have_steps_of_their_own() -> None:
    run, make = uuid4(), Maker()
    for key, owner in (("a", run), ("b", run), ("a", uuid4())):
        await once(key, make, Letter, owner)
    assert make.made == 3


async def test_of_several_makers_one_wins_and_all_get_his_result() -> None:
    run, make = uuid4(), Maker()
    letters = await asyncio.gather(*(once("letter", make, Letter, run) for _ in range(8)))
    assert len(set(letters)) == 1


async def test_a_step_that_fails_is_not_kept() -> None:
    async def fail() -> Letter:
        raise OSError("no paper")

    run = uuid4()
    with pytest.raises(OSError, match="no paper"):
        await once("letter", fail, Letter, run)
    assert (await once("letter", Maker(), Letter, run)).text == "letter 1"


async def test_the_step_belongs_to_the_root_of_the_current_run() -> None:
    run, make = uuid4(), Maker()
    token = current_run.set(RunContext(root_run=run))
    made = await once("letter", make, Letter)
    current_run.reset(token)
    assert await once("letter", make, Letter, run) == made


async def test_outside_a_run_the_owner_must_be_named() -> None:
    with pytest.raises(RuntimeError, match="pass root_run"):
        await once("letter", Maker(), Letter)


async def test_a_result_that_was_altered_in_the_table_is_refused(database: str) -> None:
    run = uuid4()
    await once("letter", Maker(), Letter, run)
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        await connection.execute(
            """update patterns.steps set result = '{"text": "forged", "pages": []}'"""
        )
    with pytest.raises(DatabaseError, match="altered"):
        await once("letter", Maker(), Letter, run)
