"""A LangChain retriever around any search: what other chains plug in."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from langchain_core.callbacks import (
    AsyncCallbackManagerForRetrieverRun,
    CallbackManagerForRetrieverRun,
)
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict

from infra.postgres import close_pool

Search = Callable[[str], Awaitable[Sequence[tuple[str, Mapping[str, Any]]]]]
"""From a question to texts with their metadata, the best first."""


class SearchRetriever(BaseRetriever):
    """LangChain documents of a search. Async inside an event loop; the sync form is for code
    without one, and opens and closes its own connections."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    search: Search

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun
    ) -> list[Document]:
        found = await self.search(query)
        return [Document(page_content=text, metadata=dict(known)) for text, known in found]

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        async def searched() -> list[Document]:
            try:
                found = await self.search(query)
            finally:
                await close_pool()
            return [Document(page_content=text, metadata=dict(known)) for text, known in found]

        return asyncio.run(searched())
