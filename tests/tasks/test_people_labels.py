"""What people have labelled: the last word holds, and is about the text that was seen."""

from uuid import uuid4

import pandas as pd

from infra.postgres import fetch
from infra.review_policy import ReviewPolicy
from tasks.columns import Columns
from tasks.corpus import Corpus
from tasks.decisions import decide
from tasks.label_batches import label_inputs, label_text
from tasks.label_reviews import Unsure, with_people
from tasks.people_labels import is_from_people, labels_of_people
from tasks.review_output import Refused, Released
from tasks.reviews import Draft, Subject, open_review
from tasks.routing import Routed
from tests.tasks.kept_reviews import approval

LABELS = ["delivery", "refund"]


async def reviewed(texts: dict[str, str], label: str) -> None:
    draft = Draft(
        text=label_text(dict.fromkeys(texts, label)),
        material="labels",
        inputs=label_inputs(texts, LABELS),
    )
    subject = Subject(title="Labels", kind="labels:tickets")
    review = await open_review(uuid4(), "labels-1", 1, subject, draft, ReviewPolicy())
    await decide(review.id, approval(review))


async def corrected(text: str, label: str) -> None:
    row = {"name": "tickets", "text": text, "label": label, "actor": "Bob"}
    await fetch("keep_correction", row)


async def test_the_last_word_holds_whoever_said_it_where(database: str) -> None:
    await corrected("the parcel", "refund")
    await reviewed({"T-1": "the parcel", "T-2": "my money"}, "delivery")
    await corrected("My money", "refund")
    said = {each.text: each for each in await labels_of_people("tickets", "none")}
    assert {text: each.label for text, each in said.items()} == {
        "the parcel": "delivery",
        "My money": "refund",
    }
    assert said["the parcel"].origin == "review 1, Ann"
    assert all(map(is_from_people, said.values()))


def routed(**texts: str) -> tuple[list[Routed], Corpus]:
    rows = [
        {"id": i, "text": t, "happened_at": pd.NaT, "group": None, "kind": "ticket"}
        for i, t in texts.items()
    ]
    found = [Routed(id=each, guess="refund", confidence=0.4) for each in texts]
    return found, Corpus("a file", pd.DataFrame(rows), Columns())


def test_a_label_goes_to_the_text_that_was_seen() -> None:
    seen = Unsure(
        texts={"T-1": "the parcel", "T-2": "my money", "T-3": "gone", "T-4": "refused"},
        guesses={},
    )
    released = Released(
        text=label_text({"T-1": "delivery", "T-2": "delivery", "T-3": "delivery"}),
        sha256="",
        reviewers=("Ann",),
        review=1,
    )
    refused = Refused(review=2, reason="no")
    now, corpus = routed(**{"T-1": "the parcel", "T-2": "another text", "T-4": "refused"})
    found = with_people(now, corpus, seen, [released, refused])
    assert [(each.id, each.label, each.by) for each in found] == [
        ("T-1", "delivery", "person"),
        ("T-2", None, "nobody"),
        ("T-4", None, "nobody"),
    ]
