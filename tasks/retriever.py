"""A collection as a LangChain retriever: ``retriever("help") | …`` in any chain."""

from collections.abc import Mapping, Sequence
from typing import Any

from infra.langchain_retriever import SearchRetriever
from tasks.retrieval import Mode, search


def retriever(
    collection: str,
    *,
    k: int = 5,
    mode: Mode = "hybrid",
    fields: Mapping[str, Sequence[str]] | None = None,
) -> SearchRetriever:
    """A LangChain `BaseRetriever` of what `tasks.retrieval.search` finds.

    Metadata of what is found: document, passage, score, context, fields. Raises at a question what
    `search` raises.
    """

    async def found(question: str) -> Sequence[tuple[str, Mapping[str, Any]]]:
        passages = await search(collection, question, k=k, mode=mode, fields=fields)
        return [
            (
                each.text,
                each.model_dump(include={"document", "passage", "score", "context", "fields"}),
            )
            for each in passages
        ]

    return SearchRetriever(search=found)
