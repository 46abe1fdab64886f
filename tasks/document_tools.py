"""Tools that read documents: search, and answers with checked quotes."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from tasks import cited_answers, retrieval
from tasks.json_schemas import KEPT
from tasks.tools import tool

Collection = Annotated[
    str,
    Field(
        description="Name of the collection of documents.", json_schema_extra={KEPT: "collection"}
    ),
]


class Answered(BaseModel):
    """An answer from documents. ``supported``: whether they tell it; ``quotes``: that were checked,
    ``documents``: which they stand in."""

    model_config = ConfigDict(frozen=True)

    answer: str
    supported: bool
    quotes: list[str]
    documents: list[str]


class Passage(BaseModel):
    """A passage of a document."""

    model_config = ConfigDict(frozen=True)

    document: str
    context: str
    text: str


@tool(model_calls=4)
async def ask_documents(
    question: Annotated[str, Field(description="One question, understood by itself.")],
    collection: Collection,
) -> Answered:
    """Answer a question, such as what something costs, how long it takes or who may do it, from the
    documents of a collection, with quotes that were checked."""
    request = cited_answers.QuestionRequest(question=question, collection=collection)
    found = await cited_answers.answer(request)
    return Answered(
        answer=found.answer,
        supported=found.supported,
        quotes=[each.quote for each in found.citations],
        documents=[*dict.fromkeys(each.document for each in found.citations)],
    )


@tool()
async def search_documents(
    query: Annotated[str, Field(description="What to look for.")],
    collection: Collection,
    most: Annotated[int, Field(ge=1, le=20, description="Most passages.")] = 5,
) -> list[Passage]:
    """Find the passages of a collection that are nearest to a query. No model is asked."""
    found = await retrieval.search(collection, query, k=most)
    return [Passage(document=each.document, context=each.context, text=each.text) for each in found]
