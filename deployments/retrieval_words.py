"""What commands say of documents: ingests, passages that were found, answers, evaluations."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tasks.cited_answers import CitedAnswer
    from tasks.ingestion import Ingested
    from tasks.retrieval import Found
    from tasks.retrieval_evaluation import Evaluation


def ingested_words(done: "Ingested") -> str:
    recall = "" if done.recall is None else f" Pinned questions find {done.recall:.1%}."
    notes = "".join(f"\n{note}" for note in done.notes)
    return (
        f"{done.collection}, version {done.version}: {done.documents} documents in {done.passages} "
        f"passages; {done.embedded} embedded, {done.unchanged} unchanged, {done.removed} removed, "
        f"{len(done.skipped)} skipped, {done.seconds:.1f} s.{recall}{notes}"
    )


def found_words(found: "Sequence[Found]") -> str:
    lines = [
        f"{each.score:.3f}  {each.document} #{each.passage}  {each.context}\n"
        f"       {' '.join(each.text.split())[:200]}"
        for each in found
    ]
    return "\n".join(lines) or "Nothing was found."


def answer_words(found: "CitedAnswer") -> str:
    lines = [found.answer, ""]
    lines += [
        f'[{number}] {each.document}: "{" ".join(each.quote.split())}"'
        for number, each in enumerate(found.citations, 1)
    ]
    lines += [
        f"near: {each.document} #{each.passage}  {' '.join(each.text.split())[:120]}"
        for each in found.nearest
    ]
    return "\n".join(lines)


def evaluation_result(found: "Evaluation") -> dict[str, Any]:
    """The live version in the first mode, and beside it all that was measured."""
    rows = [each.model_dump(mode="json", exclude={"ranks"}) for each in found.qualities]
    live = [row for row in rows if row["version"] == rows[-1]["version"]]
    return {
        **live[0],
        "collection": found.collection,
        "measured": rows,
        "answers": found.answers.model_dump() if found.answers else None,
    }


def evaluation_words(found: "Evaluation") -> str:
    lines = [
        f"version {each.version} {each.mode}: nDCG@10 {each.ndcg_at_10:.3f}, recall@10 "
        f"{each.recall_at_10:.3f}, MRR@10 {each.mrr_at_10:.3f}, {each.queries} queries, "
        f"p50 {each.p50_ms:.1f} ms, p95 {each.p95_ms:.1f} ms"
        for each in found.qualities
    ]
    if answers := found.answers:
        lines.append(
            f"answered with support {answers.supported} of {answers.asked}, citing a relevant "
            f"document {answers.cited_relevant}; refused {answers.refused} of "
            f"{answers.off_topic} off-topic questions"
        )
    return "\n".join(lines)
