"""A reply made anew after people rejected it, with their reasons as a checklist."""

from collections.abc import Mapping, Sequence

from infra.llm import Reply
from tasks.asking import ask
from tasks.prompts import load_prompt


async def revised(
    name: str,
    inputs: Mapping[str, str],
    draft: str,
    reasons: Sequence[str],
    *,
    tenant: str = "",
    sources: tuple[str, ...] = (),
) -> Reply:
    """The reply to a named prompt's inputs that heeds why the ``draft`` was rejected.

    It fills that prompt's own schema, where it has one. ``reasons``: one a line of the checklist;
    what people write in them is material, as what customers write is. Raises what
    `tasks.asking.ask` raises.
    """
    first = load_prompt(name)
    told = {
        "task": first.instructions,
        "material": "\n\n".join(inputs[each] for each in first.inputs),
        "draft": draft,
        "reasons": "\n".join(f"- {' '.join(reason.split())}" for reason in reasons),
    }
    return await ask("revise_reply", told, fills=first.reply_model, tenant=tenant, sources=sources)
