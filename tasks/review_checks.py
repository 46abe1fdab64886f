"""What an edited text has to pass: the same checks as what a model wrote in its place."""

import json
from collections.abc import Mapping

from pydantic import ValidationError

from infra.errors import InputError
from tasks.label_batches import label_faults
from tasks.prompts import file_prompt
from tasks.reply_batches import batch_faults
from tasks.reply_checks import reply_faults


def edit_fault(kind: str, text: str, inputs: Mapping[str, str]) -> str | None:
    """What is wrong with an edited text of a review of this kind; None when nothing is.

    ``inputs``: what the draft was made from.
    """
    match kind.partition(":"):
        case "prompt", _, name:
            return _reply_fault(name, text)
        case "reply", _, _:
            return " ".join(reply_faults(text, inputs)) or None
        case "replies", _, _:
            return " ".join(batch_faults(text, inputs)) or None
        case "changes", _, _:
            return "Changes are approved or rejected as a whole: reject them and say what to do."
        case (("call" | "plan" | "specialist"), _, _):
            return "It is approved or rejected as it is: reject it and say what to do."
        case "labels", _, _:
            return " ".join(label_faults(text, inputs)) or None
        case "task", _, _:
            return None if text.strip() else "The answer is empty."
    raise InputError(f"A draft of the kind {kind!r} has no checks, so it cannot be edited.")


def _reply_fault(prompt: str, text: str) -> str | None:
    model = file_prompt(prompt).reply_model
    if model is None:
        return None
    try:
        filled = model.model_validate_json(text)
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        return "; ".join(faults) + "."
    said = json.loads(text)
    # A model's too long text is cut; a person's is not cut unseen.
    long = [name for name, kept in filled.model_dump(mode="json").items() if kept != said[name]]
    return f"{', '.join(long)}: longer than it may be." if long else None
