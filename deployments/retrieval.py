"""`patterns ingest`, `search`, `ask`, `evaluate` and `collections`: documents at the terminal."""

import json
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deployments.retrieval_words import (
    answer_words,
    evaluation_result,
    evaluation_words,
    found_words,
    ingested_words,
)
from deployments.terminal import AsJson, absolute, bars, run_async, run_flow, show, without_a_run
from infra.errors import InputError

if TYPE_CHECKING:
    from tasks.document_collections import PinnedQuestions

collections = typer.Typer(help="Collections of documents.", no_args_is_help=True)
evaluate = typer.Typer(help="How good a pattern is on judged data.", no_args_is_help=True)


class Mode(StrEnum):
    """How to search."""

    hybrid = "hybrid"
    vector = "vector"
    text = "text"


Named = Annotated[str, typer.Option("--collection", help="Name of the collection.")]
Name = Annotated[str, typer.Argument(help="Name of the collection.")]
Filters = Annotated[
    list[str] | None,
    typer.Option("--filter", help="Only documents with this, as FIELD=VALUE; may be repeated."),
]
Queries = Annotated[str | None, typer.Option(help="Table: query_id, text.")]
Qrels = Annotated[str | None, typer.Option(help="Table: query_id, doc_id, relevance.")]


collections.callback()(without_a_run)


@evaluate.callback()
def _several() -> None:
    """A callback, so that the one command keeps its name."""


def ingest(
    source: Annotated[
        str, typer.Argument(help="A folder, a file, corpus:NAME, sql:FILE or query:SELECT …")
    ],
    collection: Named,
    id_: Annotated[str | None, typer.Option("--id", help="Column of the ids.")] = None,
    title: Annotated[str | None, typer.Option(help="Column of the titles.")] = None,
    text: Annotated[str | None, typer.Option(help="Column of the texts.")] = None,
    lineage: Annotated[
        str | None, typer.Option(help="What to call the source, when its path changes.")
    ] = None,
    max_skipped: Annotated[int, typer.Option(min=0, help="Documents that may be unreadable.")] = 0,
    force: Annotated[
        bool, typer.Option("--force", help="Go live also when pinned questions find less.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring documents into a collection: only what is new or changed is embedded."""
    request = {
        "source": absolute(source),
        "collection": collection,
        "columns": {"id": id_, "title": title, "text": text},
        "lineage": lineage,
        "max_skipped": max_skipped,
        "force": force,
    }
    with bars():
        done = run_flow("flows.rag.ingest_documents", request=request)
    show(done.model_dump(mode="json"), ingested_words(done), as_json=as_json)


def search(
    query: Annotated[str, typer.Argument(help="What to look for.")],
    collection: Named,
    mode: Annotated[Mode, typer.Option(help="How to search.")] = Mode.hybrid,
    k: Annotated[int, typer.Option(min=1, max=100, help="Most passages.")] = 10,
    filters: Filters = None,
    as_json: AsJson = False,
) -> None:
    """The passages that are nearest to a query."""
    without_a_run()
    from tasks import retrieval

    fields = _fields(filters)
    found = run_async(retrieval.search(collection, query, k=k, mode=mode.value, fields=fields))
    result = {"results": [each.model_dump(mode="json") for each in found]}
    show(result, found_words(found), as_json=as_json)


def ask(
    question: Annotated[str, typer.Argument(help="What to answer.")],
    collection: Named,
    filters: Filters = None,
    history: Annotated[
        Path | None,
        typer.Option(help='The conversation before, JSON: [{"question": …, "answer": …}, …].'),
    ] = None,
    k: Annotated[int, typer.Option(min=1, max=20, help="Most passages that are read.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Answer a question from documents, with checked quotes, or say that they do not tell."""
    request = {
        "question": question,
        "collection": collection,
        "fields": _fields(filters),
        "history": _turns(history),
        "k": k,
    }
    found = run_flow("flows.rag.answer_question", request=request)
    show(found.model_dump(mode="json"), answer_words(found), as_json=as_json)


@evaluate.command("retrieval")
def evaluate_retrieval(
    collection: Named,
    queries: Annotated[str, typer.Option(help="Table: query_id, text.")],
    qrels: Annotated[str, typer.Option(help="Table: query_id, doc_id, relevance.")],
    modes: Annotated[
        list[Mode] | None, typer.Option("--mode", help="How to search; may be repeated.")
    ] = None,
    answers: Annotated[
        int, typer.Option(min=0, help="Queries to answer, and so many off-topic ones.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """How well a collection finds the documents that were judged relevant."""
    request = {
        "collection": collection,
        "queries": absolute(queries),
        "qrels": absolute(qrels),
        "modes": [mode.value for mode in modes or [Mode.hybrid]],
        "answers": answers,
    }
    with bars():
        found = run_flow("flows.rag.evaluate_retrieval", request=request)
    show(evaluation_result(found), evaluation_words(found), as_json=as_json)


@collections.command("list")
def list_(as_json: AsJson = False) -> None:
    """The collections, and what is live of each."""
    from tasks.document_collections import list_collections

    found = run_async(list_collections())
    lines = [
        f"{each.name}  version {each.version}, {each.documents} documents, {each.passages} passages"
        if each.version
        else f"{each.name}  nothing is live"
        for each in found
    ]
    result = {"collections": [each.model_dump(mode="json") for each in found]}
    show(result, "\n".join(lines) or "There is no collection yet.", as_json=as_json)


@collections.command("versions")
def versions(name: Name, as_json: AsJson = False) -> None:
    """The versions of a collection that are kept."""
    from tasks.document_collections import versions_of

    found = run_async(versions_of(name))
    lines = [
        f"{each.version}  {'live' if each.live else each.state}, {each.documents} documents, "
        f"{each.passages} passages, {each.embedder}"
        + ("" if each.recall is None else f", pinned questions {each.recall:.1%}")
        for each in found
    ]
    result = {"versions": [each.model_dump(mode="json") for each in found]}
    show(result, "\n".join(lines), as_json=as_json)


@collections.command("rollback")
def rollback(name: Name, as_json: AsJson = False) -> None:
    """Make the good version before the live one live again."""
    from tasks import document_collections

    view = run_async(document_collections.rollback(name))
    words = f"{name} is at version {view.version} again, with {view.documents} documents."
    show({"collection": name, "version": view.version}, words, as_json=as_json)


@collections.command("pin")
def pin(
    name: Name,
    question: Annotated[str | None, typer.Option(help="A question.")] = None,
    documents: Annotated[
        list[str] | None,
        typer.Option("--document", help="Id of a document that answers it; may be repeated."),
    ] = None,
    queries: Queries = None,
    qrels: Qrels = None,
    as_json: AsJson = False,
) -> None:
    """Pin questions: an ingest goes live only when it finds their documents as well as before."""
    from tasks import document_collections

    async def pinned() -> int:
        wanted = await _to_pin(question, documents, queries, qrels)
        return await document_collections.pin(name, wanted)

    count = run_async(pinned())
    show({"pinned": count}, f"{count} questions are pinned in {name}.", as_json=as_json)


@collections.command("unpin")
def unpin(
    name: Name,
    questions: Annotated[
        list[str] | None, typer.Option("--question", help="A pinned question; none: all.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Forget pinned questions."""
    from tasks import document_collections

    count = run_async(document_collections.unpin(name, questions or ()))
    show({"unpinned": count}, f"{count} questions were unpinned.", as_json=as_json)


@collections.command("remove")
def remove(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove a collection, with its versions and pinned questions."""
    from tasks import document_collections

    if not yes:
        typer.confirm(f"Remove the collection {name} with all its versions?", abort=True, err=True)
    run_async(document_collections.remove(name))
    show({"removed": name}, f"The collection {name} is removed.", as_json=as_json)


def _fields(filters: Sequence[str] | None) -> dict[str, list[str]]:
    fields = dict[str, list[str]]()
    for each in filters or ():
        name, separator, value = each.partition("=")
        if not separator or not name:
            raise InputError(f"--filter {each!r} is not FIELD=VALUE.")
        fields.setdefault(name, []).append(value)
    return fields


def _turns(path: Path | None) -> Any:
    if path is None:
        return []
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise InputError(f"{path} is no JSON: {error}. It holds a list of turns.") from error


async def _to_pin(
    question: str | None,
    documents: Sequence[str] | None,
    queries: str | None,
    qrels: str | None,
) -> "PinnedQuestions":
    from tasks.retrieval_evaluation import pinnable, read_judged

    if queries and qrels and not question:
        return pinnable(await read_judged(queries, qrels))
    if question and documents and not queries and not qrels:
        return {question: documents}
    raise InputError(
        "Name one question with the documents that answer it (--question Q --document ID), or "
        "tables of questions (--queries FILE --qrels FILE)."
    )
