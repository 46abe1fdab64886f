"""Retrieval-Augmented Generation: questions answered from documents, citing what was checked.

    source → documents → what changed → passages, vectors, words → pinned questions → live
    question → standalone question → passages → context → LLM → quotes checked → answer
                                                                └ no support → not in the documents

Use it when the answers stand in documents: a handbook, resolved tickets, the findings of a summary.
A question costs one large model call and a small one for each of its quotes, a follow-up one more;
ingesting calls no model and embeds what changed.
An index goes live only when it finds the documents of its pinned questions as well as the last one.
"""

from datetime import UTC, datetime

from prefect import flow

from tasks.cited_answers import (
    CitedAnswer,
    QuestionRequest,
    check_answer,
    draft_answer,
    standalone,
)
from tasks.cited_answers_report import publish_cited_answer
from tasks.collection_changes import one_at_a_time
from tasks.document_collections import read_kept_views
from tasks.ingestion import (
    Ingested,
    IngestRequest,
    compare,
    ingested,
    judge,
    load,
    require_ingested,
    write,
)
from tasks.retrieval import find_passages
from tasks.retrieval_evaluation import (
    Evaluation,
    EvaluationRequest,
    answer_judged,
    load_judged,
    measure_retrieval,
)
from tasks.retrieval_report import publish_evaluation, publish_ingested
from tasks.runs import charged


@flow(name="ingest-documents")
async def ingest_documents(request: IngestRequest) -> Ingested:
    """Bring the documents of a source into a collection: what changed, and nothing else."""
    started = datetime.now(UTC)
    async with charged(), one_at_a_time(request.collection):
        documents = await load(request)
        change = await compare(documents, request.collection)
        version = await write(change)
        judged = await judge(change, version, request.force)
        done = ingested(change, documents, judged, started)
        await publish_ingested(done)
    require_ingested(done, request.max_skipped)
    return done


@flow(name="answer-question")
async def answer_question(request: QuestionRequest) -> CitedAnswer:
    """Answer a question from the documents of a collection, or say that they do not answer it."""
    async with charged():
        asked = await standalone(request)
        found = await find_passages(request.collection, asked.question, request.k, request.fields)
        draft = await draft_answer(request, asked, found)
        answer = await check_answer(request, draft)
        await publish_cited_answer(answer)
    return answer


@flow(name="evaluate-retrieval")
async def evaluate_retrieval(request: EvaluationRequest) -> Evaluation:
    """How well the live version of a collection, and the one before it, find what was judged
    relevant, and how often questions are answered with support, or rightly refused."""
    async with charged():
        judged = await load_judged(request)
        views = await read_kept_views(request.collection)
        qualities = [
            await measure_retrieval(view, judged, mode) for view in views for mode in request.modes
        ]
        answers = await answer_judged(request, judged)
        found = Evaluation(collection=request.collection, qualities=qualities, answers=answers)
        await publish_evaluation(found)
    return found
