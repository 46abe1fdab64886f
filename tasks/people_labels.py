"""Labels that people gave: in reviews of what nobody was sure of, and as corrections."""

from collections.abc import Sequence

from infra.errors import InputError
from infra.postgres import fetch
from tasks.label_batches import read_labels, texts_of
from tasks.labelled_texts import Example
from tasks.review_examples import examples
from tasks.specialists import Specialist

KIND = "labels:"  # of a review, before the name of the specialists that learn from it


async def labels_of_people(name: str, outside: str) -> list[Example]:
    """What people have decided for specialists of a name, each text once: the last word holds.

    ``outside``: the label of texts that none of the others fits. An example's origin is the review,
    or the correction, that it is from.
    """
    found = dict[str, Example]()
    for each in await examples(f"{KIND}{name}"):
        if each.final is None:
            continue
        texts, origin = texts_of(each.inputs), f"review {each.review}, {each.reviewers[0]}"
        for record, label in read_labels(each.final).items():
            _take(found, texts[record], label, origin, outside)
    for row in await fetch("corrections", {"name": name}):
        origin = f"correction {row['id']}, {row['actor']}"
        _take(found, row["text"], row["label"], origin, outside)
    return list(found.values())


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


def _take(found: dict[str, Example], text: str, label: str, origin: str, outside: str) -> None:
    example = Example(text, label, origin, outside=label == outside)
    found[example.key] = example
