"""The guard against the monolithic prompt: every prompt small, tested, and made of used parts."""

import re

from pydantic import BaseModel, ConfigDict

from infra.embeddings import count_tokens
from tasks.prompt_sections import ANYWHERE, pieces
from tasks.prompts import PLACEHOLDER, Prompt, file_prompt, part_names, prompt_names

MOST = 1_000  # tokens, whatever budget a prompt gives itself
NO_CASES = "it has no cases: nobody would notice what an edit breaks"
_SHOWN = 12  # pieces of a prompt that is too long


class Lint(BaseModel):
    """One prompt's fixed text in tokens, by part, and what is wrong with the prompt."""

    model_config = ConfigDict(frozen=True)

    prompt: str
    version: str
    budget: int
    tokens: dict[str, int]
    faults: tuple[str, ...]

    @property
    def total(self) -> int:
        """Tokens of the whole fixed text."""
        return sum(self.tokens.values())


def lint_all() -> list[Lint]:
    """Every prompt, linted; a shared part that no prompt uses is a fault of the first one."""
    prompts = [file_prompt(name) for name in prompt_names()]
    lints = [lint(prompt) for prompt in prompts]
    unused = sorted(part_names() - {part for prompt in prompts for part in prompt.parts})
    if unused:
        faults = (*lints[0].faults, *(f"parts/{part}.md is used by no prompt" for part in unused))
        lints[0] = lints[0].model_copy(update={"faults": faults})
    return lints


def lint(prompt: Prompt) -> Lint:
    """One prompt's tokens and faults."""
    texts = prompt.fixed_text
    if re.search(r"\w", around := PLACEHOLDER.sub("", prompt.message)):
        texts = {**texts, "message": around}
    tokens = dict(zip(texts, count_tokens(list(texts.values())), strict=True))
    faults = [*_over_budget(prompt, texts, tokens), *_case_faults(prompt)]
    return Lint(
        prompt=prompt.name,
        version=prompt.version,
        budget=prompt.budget,
        tokens=tokens,
        faults=tuple(faults),
    )


def _over_budget(prompt: Prompt, texts: dict[str, str], tokens: dict[str, int]) -> list[str]:
    total, most = sum(tokens.values()), min(prompt.budget, MOST)
    if total <= most:
        return []
    largest = sorted(tokens, key=lambda part: -tokens[part])
    sizes = ", ".join(f"{part} {tokens[part]}" for part in largest)
    whose = "its budget" if most == prompt.budget else "the most that a budget may be"
    return [
        f"{total} tokens of fixed text, and {whose} is {most} ({sizes}): split it",
        *(fault for part in ("instructions", "message") for fault in _pieces(texts.get(part, ""))),
    ]


def _pieces(text: str) -> list[str]:
    """The pieces that a text is to be split into, the largest first, and where each belongs."""
    found = pieces(text)
    faults = [
        f'"{piece.title}", {piece.tokens} tokens' + (f" → {piece.belongs}" if piece.belongs else "")
        for piece in found[:_SHOWN]
    ]
    if rest := found[_SHOWN:]:
        faults.append(f"{len(rest)} smaller pieces, {sum(p.tokens for p in rest)} tokens")
    if found and not any(piece.belongs for piece in found):
        faults.insert(0, f"it has no headings, so these are its paragraphs. Put {ANYWHERE}")
    return faults


def _case_faults(prompt: Prompt) -> list[str]:
    if not prompt.cases:
        return [NO_CASES]
    fields = set(prompt.reply_model.model_fields) if prompt.reply_model else {"text"}
    faults = []
    for number, case in enumerate(prompt.cases, 1):
        if odd := set(case.inputs) ^ set(prompt.inputs):
            faults.append(f"case {number}: missing or unused inputs: {', '.join(sorted(odd))}")
        if odd := set(case.expect) - fields:
            faults.append(f"case {number}: the reply has no field {', '.join(sorted(odd))}")
    return faults
