"""What people decided, as labelled examples: what a model may learn from."""

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from infra.errors import InputError
from infra.storage import writing
from tasks.reviews import Review, reviews

SUFFIXES = (".jsonl", ".parquet")
_DECIDED = ("approve", "edit", "reject")


class Example(BaseModel):
    """One draft that people decided on.

    ``inputs``: what it was made from; ``final``: what was released, None for a rejected one;
    ``verdict``: edit also where another person approved the edit; ``review``: its number, which the
    chain of events vouches for.
    """

    model_config = ConfigDict(frozen=True)

    review: int
    kind: str
    inputs: dict[str, str]
    draft: str
    verdict: str
    reason_code: str
    reason: str
    final: str | None
    reviewers: tuple[str, ...]
    policy: str
    root_run: str
    decided_at: datetime


async def examples(kind: str | None = None) -> list[Example]:
    """All decided drafts, the oldest first; those of one kind, such as prompt:classify_ticket.
    What a policy decided, because nobody did, teaches nothing."""
    return [
        _example(review)
        for review in await reviews("all")
        if review.outcome
        and not review.forgotten
        and review.outcome.kind in _DECIDED
        and (kind is None or review.kind == kind)
    ]


def write_examples(found: Sequence[Example], path: Path) -> None:
    """Write examples as JSON lines or Parquet, by the name's ending.

    Raises InputError for another ending, StorageError.
    """
    import pandas as pd

    if path.suffix not in SUFFIXES:
        raise InputError(f"{path}: its name has to end in one of {', '.join(SUFFIXES)}.")
    rows = [each.model_dump(mode="json") for each in found]
    with writing(path.parent):
        if path.suffix == ".jsonl":
            lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            path.write_text("".join(lines), encoding="utf-8")
        else:
            # Inputs have other names from row to row, which no column of Parquet has.
            told = [
                {**row, "inputs": json.dumps(row["inputs"], ensure_ascii=False)} for row in rows
            ]
            pd.DataFrame(told, columns=[*Example.model_fields]).to_parquet(path)


def _example(review: Review) -> Example:
    end = review.outcome
    assert end is not None
    edited = review.is_approved and review.text != review.draft.text
    return Example(
        review=review.id,
        kind=review.kind,
        inputs=review.draft.inputs,
        draft=review.draft.text,
        verdict="edit" if edited else end.kind,
        reason_code=end.reason_code if end.kind == "reject" else "",
        reason=end.reason,
        final=review.text if review.is_approved else None,
        reviewers=review.approved_by or (end.actor,),
        policy=review.policy.version,
        root_run=str(review.root_run),
        decided_at=end.at,
    )
