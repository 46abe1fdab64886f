"""Routing: a specialist labels what it is sure of, a general model the rest, people what is left.

The model is asked one small question, which of the labels that the specialist finds likeliest, or
none. A small model's word counts only where it is the specialist's own: two that agree.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from hashlib import sha256
from typing import Any, Literal

import numpy as np
from prefect import task
from pydantic import BaseModel, ConfigDict, Field

from infra.budget import Budget, current_run
from infra.errors import ModelError, ModelRejected
from infra.postgres import transaction
from infra.providers import is_local, model_of
from infra.sql import queries
from tasks.asking import ask
from tasks.columns import Columns
from tasks.corpus import Corpus, load_corpus
from tasks.labelled_texts import NONE
from tasks.progress import Progress
from tasks.replies import LabelChoice, label_of
from tasks.review_chain import digest
from tasks.runs import RETRIED, charged_to_task, together
from tasks.specialist_serving import answers, serving
from tasks.specialists import Specialist, read_specialist
from tasks.steps import once

PROMPT = "choose_label"
_LIKELIEST = 8  # labels that a model chooses among
_CHUNK = 2000  # texts that the specialist reads at once
_AT_ONCE = 64  # texts; how many ask a model at once is decided elsewhere

By = Literal["specialist", "model", "person", "nobody"]


class RouteRequest(BaseModel):
    """Texts to label, and who may."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(
        description="A file of texts, `corpus:NAME`, `sql:FILE`, `query:SELECT …`.",
        json_schema_extra={"position": 0},
    )
    name: str | None = Field(
        None,
        description="Whose specialist decides. Empty: the only name there is.",
        json_schema_extra={"position": 1},
    )
    specialist: int | None = Field(
        None,
        ge=1,
        description="Number of a specialist that need not serve. Empty: the one that does.",
        json_schema_extra={"position": 2},
    )
    fallback: bool = Field(
        True,
        description="Ask a general model what the specialist is not sure of.",
        json_schema_extra={"position": 3},
    )
    people: bool = Field(
        True,
        description="Ask people what both are not sure of, and wait for them.",
        json_schema_extra={"position": 4},
    )
    batch: int = Field(
        20,
        ge=1,
        le=100,
        description="Texts that one review decides on.",
        json_schema_extra={"position": 5},
    )
    out: str | None = Field(
        None,
        description="File for the labels: .csv, .jsonl or .parquet. They are in the table "
        "patterns.decisions in any case.",
        json_schema_extra={"position": 6},
    )
    columns: Columns = Field(Columns(), description="Recognised where left out.")
    requester: str = Field("", description="Who asks for it: somebody else has to decide.")
    max_model_calls: int | None = Field(None, ge=1, description="Most calls of models.")
    max_cost: float | None = Field(None, gt=0, description="Most USD that it may cost.")

    def budget(self) -> Budget:
        """What the run may use."""
        return Budget(max_calls=self.max_model_calls, max_cost=self.max_cost)


class Routed(BaseModel):
    """A text, by its id, and who decided on it. ``guess`` and ``confidence``: the specialist's;
    ``label``: what was decided, None where nobody was sure; ``why``: the model gave no answer."""

    model_config = ConfigDict(frozen=True)

    id: str
    guess: str
    confidence: float
    label: str | None = None
    by: By = "nobody"
    likeliest: tuple[str, ...] = ()
    why: str = ""


@task(name="choose specialist", **RETRIED)
async def chosen_specialist(request: RouteRequest) -> Specialist:
    """Who labels, the same however often the run starts anew; a damaged champion's place is taken
    by the one before, and the log says so. Raises what `tasks.specialists.serving` raises."""
    from prefect.logging import get_run_logger

    async def choose() -> int:
        found, warning = await serving(request.name, request.specialist)
        if warning:
            get_run_logger().warning("%s", warning)
        return found.id

    return await read_specialist(await once("specialist", choose, int))


@task(name="load texts", **RETRIED)
async def load_texts(request: RouteRequest) -> Corpus:
    """The texts of the source. Raises InputError naming file, row and column."""
    return await load_corpus(request.source, request.columns)


@task(name="specialist decides", **RETRIED)
async def decided_by_specialist(
    specialist: Specialist, corpus: Corpus, following: Progress
) -> list[Routed]:
    """What the specialist says of each text, in the corpus' order, and a row of the ledger for each
    that it decides. An empty text is nobody's."""
    records = corpus.records
    found = list[Routed]()
    for start in range(0, len(records), _CHUNK):
        some = records.iloc[start : start + _CHUNK]
        ids, texts = list(some["id"]), list(some["text"])
        began = time.perf_counter()
        routed = await routed_by(specialist, ids, texts)
        each_ms = 1000 * (time.perf_counter() - began) / len(texts)
        uses = partial(note_uses, specialist, [*zip(texts, routed, strict=True)], each_ms)
        await once(f"uses-{start}", uses, int)  # a run that starts anew uses nothing again
        found += routed
        await following.advance(len(texts))
    return found


@task(name="model decides", **RETRIED)
async def decided_by_model(
    routed: Sequence[Routed], corpus: Corpus, following: Progress
) -> list[Routed]:
    """The same, with what a model says of those that the specialist is not sure of."""
    gate, texts = asyncio.Semaphore(_AT_ONCE), texts_by_id(corpus)

    async def one(each: Routed) -> Routed:
        if each.by == "specialist" or not texts[each.id].strip():
            return each
        async with gate:
            made = await asked(each, texts[each.id])
            await following.advance()
            return made

    return await together(map(one, routed))


async def asked(each: Routed, text: str) -> Routed:
    """What a model says of a text. One that has no good answer is no error; what says that no call
    can succeed, just now or with this key and name, is raised."""
    labels = (*each.likeliest, NONE)
    inputs = {"labels": "\n".join(labels), "text": text}
    try:
        reply = await ask(PROMPT, inputs, fills=label_of(labels), sources=(digest(text),))
    except ModelError as error:
        if error.transient or isinstance(error, ModelRejected):
            raise
        return each.model_copy(update={"why": str(error)})
    assert isinstance(reply.value, LabelChoice)
    said = reply.value.label
    counts = said == each.guess if is_local(model_of("fast")) else said != NONE
    return each.model_copy(update={"label": said, "by": "model"}) if counts else each


def unsure(routed: Sequence[Routed], corpus: Corpus) -> int:
    """How many texts the specialist leaves to a model."""
    texts = texts_by_id(corpus)
    return sum(each.by == "nobody" and bool(texts[each.id].strip()) for each in routed)


def texts_by_id(corpus: Corpus) -> Mapping[str, str]:
    """The texts of a corpus, by id."""
    return dict(zip(corpus.records["id"], corpus.records["text"], strict=True))


async def routed_by(
    specialist: Specialist, ids: Sequence[str], texts: Sequence[str]
) -> list[Routed]:
    """What a specialist says of texts, by their ids."""
    card = specialist.card
    logits, sure = await answers(specialist, texts)
    acts_on = card.threshold.lets_through(sure)
    order = np.argsort(-logits, axis=1, kind="stable")[:, :_LIKELIEST]
    found = list[Routed]()
    for row, (name, text) in enumerate(zip(ids, texts, strict=True)):
        labels = tuple(card.labels[each] for each in order[row])
        acts = bool(acts_on[row]) and bool(text.strip())
        decided: dict[str, Any] = {"label": labels[0], "by": "specialist"} if acts else {}
        found.append(
            Routed(
                id=name,
                guess=labels[0],
                confidence=float(sure[row]),
                likeliest=() if acts else labels,
                **decided,
            )
        )
    return found


async def note_uses(
    specialist: Specialist, routed: Iterable[tuple[str, Routed]], each_ms: float
) -> int:
    """A row of the ledger for each text that the specialist has decided on; how many."""
    decided = [(text, each) for text, each in routed if each.by == "specialist"]
    with charged_to_task():
        run = current_run.get()
    async with (
        transaction() as connection,
        connection.cursor().copy(queries()["copy_specialist_uses"]) as copy,
    ):
        for text, _ in decided:
            key = sha256(f"{specialist.id} {digest(text)}".encode()).digest()
            named = (key, "classify", specialist.data_sha256, f"specialist:{specialist.id}")
            whose = (run.root_run, run.flow_run, run.flow, run.task_run)
            await copy.write_row((*named, "specialist", 0, each_ms, *whose))
    return len(decided)
