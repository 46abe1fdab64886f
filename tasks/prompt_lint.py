"""The guard against the monolithic prompt: every prompt small, tested, and made of used parts."""

from importlib.resources import files

from pydantic import BaseModel, ConfigDict

from infra.embeddings import count_tokens
from tasks.prompts import Prompt, file_prompt, prompt_names


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
    tokens = dict(zip(texts, count_tokens(list(texts.values())), strict=True))
    faults = [*_over_budget(prompt, tokens), *_case_faults(prompt)]
    return Lint(
        prompt=prompt.name,
        version=prompt.version,
        budget=prompt.budget,
        tokens=tokens,
        faults=tuple(faults),
    )


def part_names() -> set[str]:
    """Names of the shared parts."""
    folder = files("tasks.prompts").joinpath("parts")
    return {file.name[:-3] for file in folder.iterdir() if file.name.endswith(".md")}


def _over_budget(prompt: Prompt, tokens: dict[str, int]) -> list[str]:
    total = sum(tokens.values())
    if total <= prompt.budget:
        return []
    largest = sorted(tokens, key=lambda part: -tokens[part])
    sizes = ", ".join(f"{part} {tokens[part]}" for part in largest)
    return [
        f"{total} tokens of fixed text, and its budget is {prompt.budget} ({sizes}): "
        f"split {largest[0]} into prompts that each do one thing"
    ]


def _case_faults(prompt: Prompt) -> list[str]:
    if not prompt.cases:
        return ["it has no cases: nobody would notice what an edit breaks"]
    fields = set(prompt.reply_model.model_fields) if prompt.reply_model else {"text"}
    faults = []
    for number, case in enumerate(prompt.cases, 1):
        if odd := set(case.inputs) ^ set(prompt.inputs):
            faults.append(f"case {number}: missing or unused inputs: {', '.join(sorted(odd))}")
        if odd := set(case.expect) - fields:
            faults.append(f"case {number}: the reply has no field {', '.join(sorted(odd))}")
    return faults
