import asyncio
from itertools import count as count_from
from itertools import islice
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from prefect.exceptions import ObjectNotFound

from infra import postgres
from infra.errors import ModelRejected, SettingsError
from infra.postgres import fetch, statement, transaction
from infra.settings import get_settings
from tasks import shared_reading
from tasks.facts import extractor_of
from tasks.progress import Progress
from tasks.reading import Batch, read_batch
from tasks.shared_reading import followed, given_up, read_shared, share, unshare
from tests.endpoint import Fault, Said, ScriptedEndpoint, user_text

pytestmark = pytest.mark.usefixtures("database")

RUN = UUID(int=1)


def batches_of(count: int, packs: int = 2, passages: int = 2) -> list[Batch]:
    texts = ((f"{n:064x}", f"Export {'x' * n} hangs.") for n in count_from(0))
    return [
        Batch(number, [list(islice(texts, passages)) for _ in range(packs)])
        for number in range(1, count + 1)
    ]


async def rows(table: str) -> list[dict[str, Any]]:
    async with transaction() as connection:
        found = await connection.execute(f"select * from patterns.{table}")  # type: ignore[arg-type]
        return await found.fetchall()


async def forget_replies() -> None:
    async with transaction() as connection:
        await connection.execute("truncate patterns.calls cascade")


async def dead_reader_takes_one(flow_run: UUID | None = None) -> None:
    """Somebody else, whose lease has run out since."""
    other = {"root_run": RUN, "holder": uuid4(), "lease": 0.0, "flow_run": flow_run}
    [_] = await fetch("take_batch", other)
    async with transaction() as connection:
        await connection.execute(
            "update patterns.batches_to_read set held_until = now() - interval '1 second'"
            " where holder is not null"
        )


@pytest.fixture(autouse=True)
def _outside_of_a_flow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_reading, "read_batch", read_batch.fn)
    monkeypatch.setattr(shared_reading, "_PAUSE", 0.05)


async def test_several_readers_read_each_passage_once_and_ask_what_one_would(
    endpoint: ScriptedEndpoint,
) -> None:
    batches = batches_of(20)
    await share(RUN, batches)
    read = await asyncio.gather(*(read_shared(RUN, to_the_end=True) for _ in range(3)))
    assert sum(read) == 80
    asked = sorted(user_text(body) for body in endpoint.calls)
    assert {row["passage_sha256"].hex() for row in await rows("facts")} == {
        sha256 for batch in batches for pack in batch.packs for sha256, _ in pack
    }
    await forget_replies()
    endpoint.forget()
    for batch in batches:
        await read_batch.fn(batch, Progress("Reading", batch.size))
    assert sorted(user_text(body) for body in endpoint.calls) == asked


async def test_a_text_lies_there_until_it_is_read(endpoint: ScriptedEndpoint) -> None:
    await share(RUN, batches_of(2))
    assert len(await rows("passages_to_read")) == 8
    assert await read_shared(RUN) == 8
    assert await rows("passages_to_read") == []
    await share(RUN, batches_of(1))
    assert len(await rows("batches_to_read")) == 1, "in place of those before"
    await unshare(RUN)
    assert await rows("passages_to_read") == await rows("batches_to_read") == []


async def test_what_a_dead_reader_has_left_is_read_by_another(endpoint: ScriptedEndpoint) -> None:
    await share(RUN, batches_of(3))
    await dead_reader_takes_one()
    assert await read_shared(RUN) == 12


@pytest.mark.parametrize("error", [httpx.ConnectError("away"), ObjectNotFound(Exception())])
async def test_nothing_is_lost_where_prefect_cannot_say_whose_reader_is_dead(
    endpoint: ScriptedEndpoint, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    told: list[UUID] = []

    async def away(run: UUID) -> None:
        told.append(run)
        raise error

    monkeypatch.setattr(shared_reading, "_say_dead", away)
    await share(RUN, batches_of(3))
    await dead_reader_takes_one(UUID(int=3))
    assert await read_shared(RUN) == 12
    assert told == [UUID(int=3)]


async def test_a_server_that_restarts_in_the_midst_of_it_is_waited_for(
    endpoint: ScriptedEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = set[str]()

    def breaking(name: str, **numbers: int) -> Any:
        found = statement(name, **numbers)
        if name not in of_shards or name in broken:
            return found
        broken.add(name)
        return "select pg_terminate_backend(pg_backend_pid())"

    of_shards = {"take_batch", "finish_batch", "given_up_passages", "drop_batches"}
    await share(RUN, batches_of(3))
    monkeypatch.setattr(postgres, "statement", breaking)
    assert await read_shared(RUN) == 12
    assert await given_up(RUN) == {}
    await unshare(RUN)
    assert broken == of_shards
    assert await rows("batches_to_read") == []


async def test_what_another_one_reads_is_waited_for_to_the_end(endpoint: ScriptedEndpoint) -> None:
    await share(RUN, batches_of(1))
    other = {"root_run": RUN, "holder": uuid4(), "lease": 15.0, "flow_run": None}
    [taken] = await fetch("take_batch", other)
    assert await read_shared(RUN) == 0, "a shard ends"
    waiting = asyncio.create_task(read_shared(RUN, to_the_end=True))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    await fetch("give_back_batch", {"id": taken["id"], "holder": other["holder"]})
    assert await waiting == 4


async def test_an_error_gives_back_what_was_taken_and_the_next_one_reads_it(
    endpoint: ScriptedEndpoint,
) -> None:
    whole, endpoint.answer = endpoint.answer, lambda body, n: Fault(401)
    await share(RUN, batches_of(2))
    with pytest.raises(ModelRejected):
        await read_shared(RUN)
    assert {row["held_until"] for row in await rows("batches_to_read")} == {None}
    endpoint.answer = whole
    assert await read_shared(RUN) == 8


async def test_all_is_given_back_before_an_error_is_told_also_where_that_takes_a_while(
    endpoint: ScriptedEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint.answer = lambda body, n: Fault(401)
    await share(RUN, batches_of(2))
    begun = list[str]()

    async def slow(name: str, params: Any) -> list[dict[str, Any]]:
        if name == "give_back_batch":  # the second one is under way when the first is done
            begun.append(name)
            await asyncio.sleep(0.2 * len(begun))
        return await fetch(name, params)

    monkeypatch.setattr(shared_reading, "fetch", slow)
    with pytest.raises(ModelRejected):
        await read_shared(RUN)
    assert len(begun) == 2
    assert {row["held_until"] for row in await rows("batches_to_read")} == {None}


async def test_who_is_ended_while_he_takes_a_batch_leaves_it_to_the_next(
    endpoint: ScriptedEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    await share(RUN, batches_of(1))
    taken = asyncio.Event()

    async def slow(name: str, params: Any) -> list[dict[str, Any]]:
        found = await fetch(name, params)
        if name == "take_batch":
            taken.set()
            await asyncio.sleep(0.1)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(shared_reading, "fetch", slow)
        reading = asyncio.create_task(read_shared(RUN))
        await taken.wait()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
    assert endpoint.calls == []
    assert await read_shared(RUN) == 4


async def test_who_would_read_otherwise_reads_nothing(
    endpoint: ScriptedEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    await share(RUN, batches_of(1))
    with monkeypatch.context() as patch:
        patch.setenv("PATTERNS_CHAT_MODEL", "openai:other")
        get_settings.cache_clear()
        with pytest.raises(SettingsError, match=r"openai:scripted, this worker would as .*:other"):
            await read_shared(RUN)
    get_settings.cache_clear()
    assert endpoint.calls == []
    assert await read_shared(RUN) == 4


async def test_passages_that_were_given_up_are_named_whoever_has_tried(
    endpoint: ScriptedEndpoint,
) -> None:
    endpoint.answer = lambda body, n: Said("{}", "length")
    await share(RUN, batches_of(2, packs=1, passages=1))
    await read_shared(RUN)
    lost = await given_up(RUN)
    assert lost.keys() == {f"{0:064x}", f"{1:064x}"}
    assert set(lost.values()) == {"the model could not read it (ReplyTruncated)"}


async def test_progress_counts_what_others_read(endpoint: ScriptedEndpoint) -> None:
    await share(RUN, batches_of(2))
    following = Progress("Reading", 8)
    async with followed(RUN, following):
        [taken] = await fetch(
            "take_batch", {"root_run": RUN, "holder": uuid4(), "lease": 15.0, "flow_run": None}
        )
        await fetch("finish_batch", {"id": taken["id"], "given_up": "{}"})
        while following.done < 4:
            await asyncio.sleep(0.02)
        assert following.done == 4
    assert following.done == 8


async def test_the_extractor_is_part_of_what_is_shared(endpoint: ScriptedEndpoint) -> None:
    await share(RUN, batches_of(1))
    [batch] = await rows("batches_to_read")
    assert batch["extractor"] == extractor_of("read")
