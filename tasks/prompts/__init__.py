"""Prompts are files: ``NAME.md`` with front matter, instructions, and a message for the inputs.

    ---
    purpose: what it is for, in one line
    inputs: [tickets]            # every one is used, and none besides
    fills: ThemeWording          # the reply's pydantic model in `tasks.replies`; absent: free text
    model: fast                  # a role
    budget: 200                  # most tokens of the fixed text
    max_tokens: 200              # most tokens of the reply
    parts: [untrusted]           # shared pieces, `parts/NAME.md`, before the instructions
    question: ticket             # the input whose paraphrases want the same reply; absent: none
    examples: [{inputs: {…}, reply: {…}}]    # turns that show a small model what is wanted
    cases: [{inputs: {…}, expect: {field: regular expression}}]
    ---
    Instructions, which hold no placeholder.
    === input
    $tickets

What a user or a ticket says stands in the message after ``=== input``, each input between tags of
its own name, never in the instructions. The version is the hash of everything that the model is
told, so no number is kept by hand.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import cache, cached_property
from importlib.resources import files
from string import Template
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from infra.errors import InputError
from infra.messages import Message
from infra.settings import Role, get_settings
from tasks import replies

_FOLDER = files(__package__)
PLACEHOLDER = re.compile(r"\$([a-z_]+)")


class Case(BaseModel):
    """Inputs, and what the reply must then look like: a regular expression, in which case does not
    count, for each named field."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    inputs: dict[str, str]
    expect: dict[str, str] = Field(min_length=1)


class Example(BaseModel):
    """A turn that every call sends: inputs, and the reply that is wanted for them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    inputs: dict[str, str]
    reply: dict[str, Any]


class Prompt(BaseModel):
    """One prompt file. ``shared``: the texts of its parts; ``source``: the text of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    purpose: str
    inputs: tuple[str, ...]
    model: Role
    budget: int
    max_tokens: int = 500
    fills: str | None = None
    question: str | None = None
    parts: tuple[str, ...] = ()
    examples: tuple[Example, ...] = ()
    cases: tuple[Case, ...] = ()
    instructions: str
    message: str
    shared: dict[str, str] = Field(exclude=True)
    source: str = Field(exclude=True, repr=False)

    @cached_property
    def fixed_text(self) -> dict[str, str]:
        """What every call sends, by part, in the order in which it is sent."""
        turns = "\n\n".join(turn.content for turn in self._turns)
        return {**self.shared, "instructions": self.instructions} | (
            {"examples": turns} if turns else {}
        )

    @cached_property
    def reply_model(self) -> type[BaseModel] | None:
        """The pydantic model that the reply fills."""
        return getattr(replies, self.fills) if self.fills else None

    @cached_property
    def version(self) -> str:
        """SHA-256 of the text, parts, reply schema and role."""
        content = json.dumps(self.content, sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()

    @cached_property
    def content(self) -> dict[str, Any]:
        """Everything that a version stands for, as JSON."""
        return {
            "text": self.fixed_text,
            "message": self.message,
            "schema": self.reply_model.model_json_schema() if self.reply_model else None,
            "role": self.model,
            "max_tokens": self.max_tokens,
        }

    def render(self, inputs: Mapping[str, str]) -> tuple[Message, ...]:
        """The messages of one call. Raises InputError for missing and unused inputs."""
        missing, unused = set(self.inputs) - set(inputs), set(inputs) - set(self.inputs)
        if missing or unused:
            faults = [f"{name} is missing" for name in sorted(missing)]
            faults += [f"{name} is not used" for name in sorted(unused)]
            raise InputError(
                f"Prompt {self.name}: {', '.join(faults)}. It takes: {', '.join(self.inputs)}."
            )
        told = [text for part, text in self.fixed_text.items() if part != "examples"]
        return (Message("system", "\n\n".join(told)), *self._turns, self._asked(inputs))

    @property
    def _turns(self) -> tuple[Message, ...]:
        pairs = (
            (self._asked(e.inputs), Message("assistant", json.dumps(e.reply, ensure_ascii=False)))
            for e in self.examples
        )
        return tuple(message for pair in pairs for message in pair)

    def _asked(self, inputs: Mapping[str, str]) -> Message:
        values = {name: _delimited(name, value) for name, value in inputs.items()}
        return Message("user", Template(self.message).substitute(values))


@cache
def prompt_names() -> tuple[str, ...]:
    """The names of all prompts."""
    return tuple(sorted(f.name[:-3] for f in _FOLDER.iterdir() if f.name.endswith(".md")))


labelled: ContextVar[Mapping[str, Prompt] | None] = ContextVar("labelled", default=None)
"""The versions that a label names, in a run where a label decides, not the files."""


def load_prompt(name: str) -> Prompt:
    """The prompt of that name that is in use: the file's, or the labelled version's.

    Raises InputError naming what is wrong with it.
    """
    versions, label = labelled.get(), get_settings().prompt_label
    if label is None:
        return file_prompt(name)
    if versions is None:
        raise RuntimeError("PATTERNS_PROMPT_LABEL decides inside `tasks.runs.charged` only")
    if name not in versions:
        raise InputError(
            f"No version of the prompt {name} has the label {label!r}. Give it to the file's: "
            f"patterns prompts promote {name} --label {label}"
        )
    return versions[name]


@cache
def file_prompt(name: str) -> Prompt:
    """The prompt of a file. Raises InputError naming what is wrong with it."""
    if name not in prompt_names():
        raise InputError(f"There is no prompt {name!r}. There are: {', '.join(prompt_names())}.")
    return parse_prompt(name, _read(f"{name}.md"))


def part_names() -> set[str]:
    """The names of the shared parts."""
    return {f.name[:-3] for f in _FOLDER.joinpath("parts").iterdir() if f.name.endswith(".md")}


def read_part(part: str) -> str:
    """The text of a shared part."""
    return _read(f"parts/{part}.md")


def parse_prompt(name: str, source: str, part: Callable[[str], str] = read_part) -> Prompt:
    """A prompt from the text of its file; ``part`` has the texts of its shared parts.

    Raises InputError naming the file and the field.
    """
    where = f"tasks/prompts/{name}.md"
    match source.split("---\n", 2):
        case ["", front, body] if "=== input\n" in body:
            instructions, message = (text.strip() for text in body.split("=== input\n", 1))
        case _:
            raise InputError(
                f"{where} is not a prompt file: front matter between two lines ---, instructions, "
                "a line `=== input`, and the message."
            )
    try:
        fields = yaml.safe_load(front)
        texts = {each: part(each) for each in fields.get("parts") or ()}
        own = {"name": name, "shared": texts, "source": source}
        prompt = Prompt(instructions=instructions, message=message, **own, **fields)
    except (yaml.YAMLError, TypeError, AttributeError) as error:
        raise InputError(f"{where}: the front matter is not YAML fields: {error}") from error
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise InputError(f"{where}: {faults}") from error
    _check_inputs(where, prompt)
    return prompt


def _check_inputs(where: str, prompt: Prompt) -> None:
    if found := PLACEHOLDER.findall(prompt.instructions):
        raise InputError(
            f"{where}: ${found[0]} stands in the instructions; inputs belong after `=== input`."
        )
    used = set(PLACEHOLDER.findall(prompt.message))
    if used != set(prompt.inputs):
        odd = sorted(used ^ set(prompt.inputs))
        raise InputError(f"{where}: declared inputs and used ones differ in: {', '.join(odd)}.")
    if prompt.question and prompt.question not in prompt.inputs:
        raise InputError(f"{where}: question: {prompt.question} is no input of the prompt.")
    if prompt.fills and not hasattr(replies, prompt.fills):
        raise InputError(f"{where}: fills: tasks.replies has no {prompt.fills}.")
    for number, example in enumerate(prompt.examples, 1):
        if set(example.inputs) != set(prompt.inputs):
            raise InputError(f"{where}: example {number} has other inputs than the prompt.")
        try:
            if prompt.reply_model:
                prompt.reply_model.model_validate(example.reply)
        except ValidationError as error:
            raise InputError(
                f"{where}: example {number}: its reply does not fit: {error}"
            ) from None


def _delimited(name: str, value: str) -> str:
    """The value between tags of its name; a tag in the value itself cannot end it early."""
    inside = re.sub(rf"<(?=/?\s*{name}\b)", "‹", value, flags=re.IGNORECASE)
    return f"<{name}>\n{inside}\n</{name}>"


def _read(path: str) -> str:
    try:
        return _FOLDER.joinpath(path).read_text(encoding="utf-8").strip() + "\n"
    except FileNotFoundError:
        raise InputError(f"There is no tasks/prompts/{path}.") from None
