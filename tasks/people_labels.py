"""Labels that people gave: in reviews of what nobody was sure of, and as corrections."""

from collections.abc import Sequence
from datetime import datetime

from infra.errors import InputError
from infra.postgres import fetch
from tasks.label_batches import read_labels, texts_of
from tasks.labelled_texts import Example
from tasks.review_examples import examples
from tasks.specialists import Specialist

KIND = "labels:"  # of a review, before the name of the specialists that learn from it
_REVIEW, _CORRECTION = "review ", "correction "  # origins begin so


async def labels_of_people(name: str, outside: str) -> list[Example]:
    """What people have decided for specialists of a name, each text once: the last word holds,
    whether it was said in a review or as a correction.

    ``outside``: the label of texts that none of the others fits. An example's origin is the review,
    or the correction, that it is from.
    """
    said = list[tuple[datetime, Example]]()

    def note(at: datetime, text: str, label: str, origin: str) -> None:
        said.append((at, Example(text, label, origin, outside=label == outside)))

    for each in await examples(f"{KIND}{name}"):
        if each.final is None:
            continue
        texts, origin = texts_of(each.inputs), f"{_REVIEW}{each.review}, {each.reviewers[0]}"
        for record, label in read_labels(each.final).items():
            if texts[record]:  # one whose words were forgotten teaches nothing
                note(each.decided_at, texts[record], label, origin)
    for row in await fetch("corrections", {"name": name}):
        origin = f"{_CORRECTION}{row['id']}, {row['actor']}"
        note(row["corrected_at"], row["text"], row["label"], origin)
    ordered = sorted(said, key=lambda each: each[0])
    return list({example.key: example for _, example in ordered}.values())


def is_from_people(example: Example) -> bool:
    """Whether its label was given by a person who was asked, or who corrected another."""
    return example.origin.startswith((_REVIEW, _CORRECTION))


async def correct(specialist: Specialist, text: str, label: str, actor: str) -> None:
    """Keep the label that a text should have had, for the next training. Raises InputError for an
    empty text, and for a label that the specialist does not have."""
    if not text.strip():
        raise InputError("The text is empty. Name the text that was labelled wrongly.")
    require_label(specialist, label)
    row = {"name": specialist.name, "text": text, "label": label, "actor": actor}
    await fetch("keep_correction", row)


def labels_of(specialist: Specialist) -> list[str]:
    """What a text can be labelled with: its labels, and the one of texts that none of them fits."""
    return [*specialist.card.labels, specialist.none]


def require_label(specialist: Specialist, label: str) -> None:
    """Raise InputError for a label that the specialist does not have."""
    allowed: Sequence[str] = labels_of(specialist)
    if label not in allowed:
        raise InputError(f"There is no label {label!r}. There are: {', '.join(allowed)}.")
