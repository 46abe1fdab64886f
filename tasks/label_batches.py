"""Labels of several texts as one text that people approve or edit: JSON, a label for each id."""

import json
from collections.abc import Mapping, Sequence

from tasks.markdown import escaped, table

_ALLOWED, _TEXT = "labels", "text:"  # among the inputs of such a draft; a text has its id after it
_SHOWN = 300  # characters of a text in a cell


def label_text(labels: Mapping[str, str]) -> str:
    """The bytes that are approved, in the order of the labels."""
    return json.dumps(labels, ensure_ascii=False, indent=1)


def read_labels(text: str) -> dict[str, str]:
    """The labels of such a text, by id."""
    labels: dict[str, str] = json.loads(text)
    return labels


def label_inputs(texts: Mapping[str, str], allowed: Sequence[str]) -> dict[str, str]:
    """What such a draft is made from: the text of each id, and the labels there are."""
    return {_ALLOWED: "\n".join(allowed)} | {f"{_TEXT}{each}": t for each, t in texts.items()}


def texts_of(inputs: Mapping[str, str]) -> dict[str, str]:
    """The texts among such inputs, by id."""
    return {
        name.removeprefix(_TEXT): text for name, text in inputs.items() if name.startswith(_TEXT)
    }


def label_markdown(texts: Mapping[str, str], guesses: Mapping[str, tuple[str, float]]) -> str:
    """The texts, and what is proposed for each and how surely, as a table."""
    rows = [
        (escaped(each), _cell(text), escaped(guesses[each][0]), f"{guesses[each][1]:.0%}")
        for each, text in texts.items()
    ]
    return table(("Id", "Text", "Proposed label", "Sure"), "lllr", rows)


def label_faults(text: str, inputs: Mapping[str, str]) -> list[str]:
    """What is wrong with an edited batch. ``inputs``: as `label_inputs` makes them."""
    try:
        labels = json.loads(text)
    except json.JSONDecodeError as error:
        return [f"It is no JSON any more: {error}."]
    allowed, ids = inputs[_ALLOWED].splitlines(), [*texts_of(inputs)]
    if not isinstance(labels, dict) or {*labels} != {*ids}:
        return [f"It has to have a label for each of the same ids: {', '.join(ids)}."]
    return [
        f"{each}: there is no label {said!r}. There are: {', '.join(allowed)}."
        for each, said in labels.items()
        if said not in allowed
    ]


def _cell(text: str) -> str:
    words = " ".join(text.split())
    return escaped(words if len(words) <= _SHOWN else f"{words[:_SHOWN]} …")
