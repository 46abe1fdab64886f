"""Questions that patterns are compared on, and what a right answer to each must hold."""

import re
from pathlib import Path
from typing import Literal

from prefect import task
from prefect.cache_policies import NO_CACHE
from pydantic import BaseModel, ConfigDict, Field

from infra.budget import Budget
from infra.errors import InputError
from tasks.columns import ROW, Columns, first_of, recognise, require
from tasks.document_collections import Name
from tasks.prompts import load_prompt, prompt_names
from tasks.tables import read_table

Pattern = Literal["prompt", "rag", "agent", "controller", "specialist"]
PATTERNS: tuple[Pattern, ...] = ("prompt", "rag", "agent", "controller", "specialist")

_EXPECTED = ("answer", "expected", "label")  # usual names of the column that answers are held to


class PatternsRequest(BaseModel):
    """What to compare patterns on, and what each answer may take."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    question: str = Field(
        "",
        max_length=4000,
        description="A question, where no file is named.",
        json_schema_extra={"position": 0},
    )
    expect: str | None = Field(
        None,
        description="What a right answer to it must hold: a regular expression. Empty in between: "
        "nothing answers it, and a right answer says so.",
        json_schema_extra={"position": 1},
    )
    file: Path | None = Field(
        None, description="Table of questions.", json_schema_extra={"position": 2}
    )
    text: str | None = Field(
        None,
        description="Its column of questions. Empty: recognised.",
        json_schema_extra={"position": 3},
    )
    expected: str | None = Field(
        None,
        description="Its column of what a right answer must hold. Empty: recognised.",
        json_schema_extra={"position": 4},
    )
    collection: Name | None = Field(
        None, description="Documents that RAG answers from.", json_schema_extra={"position": 5}
    )
    specialist: str | None = Field(
        None,
        description="Whose specialist labels the questions. Empty: who has the expected labels.",
        json_schema_extra={"position": 6},
    )
    prompt: str = Field(
        "answer_briefly",
        description="Prompt that is asked with the question as its only input.",
        json_schema_extra={"enum": [*prompt_names()], "position": 7},
    )
    patterns: tuple[Pattern, ...] = Field(
        PATTERNS,
        min_length=1,
        description="Patterns to compare.",
        json_schema_extra={"position": 8},
    )
    limit: int = Field(20, ge=1, le=50, description="Most questions, the first ones of the file.")
    max_model_calls: int = Field(30, ge=1, description="Most calls of models for one answer.")
    max_minutes: float = Field(10, gt=0, description="Most minutes for one answer.")

    def budget(self) -> Budget:
        """What one answer may take."""
        return Budget(max_calls=self.max_model_calls)


class PatternQuestion(BaseModel):
    """A question. ``expect``: a regular expression that a right answer must match, whatever its
    case; empty: a right answer says that it does not know; None: nothing to check it by."""

    model_config = ConfigDict(frozen=True)

    id: str
    text: str
    expect: str | None


def read_questions(request: PatternsRequest) -> list[PatternQuestion]:
    """The questions of a request.

    Raises InputError where there is none, or two sources; naming file, row and column for what does
    not fit; and for a prompt that takes more than a question.
    """
    require_one_input(request.prompt)
    if bool(request.question.strip()) == bool(request.file):
        raise InputError("Give a question, or a file of questions, and not both.")
    if request.file is None:
        asked = PatternQuestion(id="1", text=request.question.strip(), expect=request.expect)
        return [_checked(asked, "--expect")]
    return _rows(request, request.file)


def require_one_input(prompt: str) -> str:
    """The input that is the question. Raises InputError for a prompt that has others."""
    inputs = load_prompt(prompt).inputs
    if len(inputs) != 1:
        raise InputError(
            f"The prompt {prompt} takes {', '.join(inputs)}: patterns are compared on a question "
            "alone. Name a prompt with one input."
        )
    return inputs[0]


@task(name="load questions", cache_policy=NO_CACHE, persist_result=False)
def load_questions(request: PatternsRequest) -> list[PatternQuestion]:
    """`read_questions` as a task."""
    return read_questions(request)


def _rows(request: PatternsRequest, file: Path) -> list[PatternQuestion]:
    table, _ = read_table(file)
    names = [*map(str, table.columns)]
    expected = request.expected or first_of(_EXPECTED, names)
    require((expected,), names, str(file))
    known = recognise(
        Columns(text=(request.text,) if request.text else ()),
        [name for name in names if name != expected],
        str(file),
    )
    found = list[PatternQuestion]()
    for row, cells in enumerate(table.head(request.limit).to_dict("records"), 1):
        said = {str(name): _text(value) for name, value in cells.items()}
        asked = PatternQuestion(
            id=said[known.id] if known.id and known.id != ROW else f"row-{row}",
            text="\n\n".join(filter(None, (said[name] for name in known.text))),
            expect=said[expected] if expected else None,
        )
        if not asked.text:
            raise InputError(f"{file}, row {row}: {' and '.join(known.text)} empty. Fill it.")
        found.append(_checked(asked, f"{file}, row {row}: {expected}"))
    if len({each.id for each in found}) < len(found):
        raise InputError(f"{file}: two rows have one {known.id}. Give each question its own.")
    return found


def _text(value: object) -> str:
    return "" if value is None or value != value else str(value).strip()


def _checked(asked: PatternQuestion, where: str) -> PatternQuestion:
    try:
        re.compile(asked.expect or "")
    except re.error as error:
        raise InputError(f"{where} is no regular expression: {error}. Mend it.") from None
    return asked
