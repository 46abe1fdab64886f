import asyncio

import pytest
from langchain_core.runnables import RunnableLambda

from infra.errors import InputError
from tasks.retriever import retriever
from tests.tasks.test_ingestion import TEXTS, ingest

pytestmark = pytest.mark.usefixtures("database")


async def test_a_chain_of_langchain_gets_the_passages_of_a_collection() -> None:
    await ingest()
    chain = retriever("help", k=1) | RunnableLambda(lambda found: found[0])
    document = await chain.ainvoke("When is the guest password changed?")
    assert document.page_content == TEXTS["wifi"]
    assert document.metadata["document"] == "wifi"
    assert document.metadata["fields"] == {"kind": ["page"]}


async def test_code_without_an_event_loop_gets_the_same() -> None:
    await ingest()
    [found] = await asyncio.to_thread(retriever("help", k=1, mode="text").invoke, "guest password")
    assert found.page_content == TEXTS["wifi"]


async def test_an_unknown_collection_is_told_to_the_chain() -> None:
    with pytest.raises(InputError, match="no collection 'nowhere'"):
        await retriever("nowhere").ainvoke("Where?")
