"""Training a specialist: from labelled texts to a registered model that knows how sure it is."""

import asyncio
import hashlib
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from prefect import task
from pydantic import BaseModel, ConfigDict, Field

from infra import fine_tuning
from infra.classifier_recipe import OUTSIDE, Labelled, Recipe
from infra.fine_tuning import EMBEDDED, NOBODY, Device, Trained
from infra.postgres import alone
from infra.settings import get_settings
from infra.storage import writing
from tasks.calibration import certified_threshold
from tasks.confidence import Scope, learned
from tasks.labelled_texts import Example, Examples, Part, load_examples, parted
from tasks.progress import progress
from tasks.runs import RETRIED
from tasks.specialist_figures import figures
from tasks.specialists import Card, Specialist, register, trained_by
from tasks.steps import current_root_run

if TYPE_CHECKING:
    from tasks.calibration import Floats, Logits

_LOOK = 0.5  # seconds between two looks at how far the training thread is
_NAME = r"^[A-Za-z0-9][\w.-]{0,62}$"


class TrainingRequest(BaseModel):
    """Labelled texts, and how a specialist is trained on them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(
        description="A file of labelled texts, `sql:FILE`, `query:SELECT …`.",
        json_schema_extra={"position": 0},
    )
    text: tuple[str, ...] = Field(
        (),
        description="Columns of the text. Empty: recognised.",
        json_schema_extra={"position": 1},
    )
    label: str | None = Field(
        None,
        description="Column of the label. Empty: recognised.",
        json_schema_extra={"position": 2},
    )
    outside: str | None = Field(
        None,
        description="Label of texts that none of the others fits. Empty: there are none.",
        json_schema_extra={"position": 3},
    )
    name: str = Field(
        "tickets",
        pattern=_NAME,
        description="What it knows; one specialist of a name serves.",
        json_schema_extra={"position": 4},
    )
    target_accuracy: float = Field(
        0.98,
        gt=0,
        lt=1,
        description="Of what it is to decide by itself. The rest goes to a model, or to people.",
        json_schema_extra={"position": 5},
    )
    encoder: str = Field(
        fine_tuning.DEFAULT_ENCODER,
        description="Where training starts: all-minilm-l6-v2, or the folder of another.",
    )
    teacher: str = Field(
        fine_tuning.DEFAULT_TEACHER,
        description="A larger encoder, which teaches: all-mpnet-base-v2, the folder of another "
        "whose vectors are the mean over a text's tokens, or none.",
    )
    device: Device = Field("auto", description="auto: a GPU where there is one.")
    recipe: Recipe = Field(Recipe(), description="How it is trained.")


@task(name="load labelled texts", **RETRIED)
async def labelled(request: TrainingRequest) -> Examples:
    """The labelled texts of a request. Raises InputError, and SettingsError where nothing can be
    trained, before anything is."""
    fine_tuning.require_training(request.device)
    for folder in {request.encoder, request.teacher} - {*EMBEDDED, NOBODY}:
        await asyncio.to_thread(fine_tuning.encoder_folder, folder)
    found = await load_examples(request.source, request.text, request.label, request.outside)
    await _folders(request)
    return found


@task(name="train", **RETRIED)
async def train(request: TrainingRequest, examples: Examples) -> Specialist:
    """A specialist, trained, calibrated, measured and registered; once for a run.

    A run that was killed goes on with the epoch at which it was, also as another run on the same
    texts.
    """
    run = current_root_run()
    if known := await trained_by(run):
        return known
    started = time.monotonic()
    parts = parted(examples, request.recipe.seed)
    work = _work(request, examples)
    async with alone(work.name):
        trained = await fine_tuned(request, examples.labels, parts, work)
        card, scope = await carded(request, examples, parts, trained, started)
        kept = (examples.source, examples.sha256, card, trained.folder, scope, parts)
        found = await register(request.name, run, *kept)
        await asyncio.to_thread(shutil.rmtree, work, ignore_errors=True)
    return found


async def fine_tuned(
    request: TrainingRequest,
    labels: Sequence[str],
    parts: Mapping[Part, Sequence[Example]],
    work: Path,
) -> Trained:
    """The model, trained in a thread, with progress."""
    encoder, teacher = await _folders(request)
    learned, checked = _classes(labels, parts["train"]), _classes(labels, parts["check"])
    beyond = _outside(parts["train"])
    learned = Labelled([*learned.texts, *beyond], [*learned.classes, *[OUTSIDE] * len(beyond)])
    steps = request.recipe.most_steps(len(learned.texts), taught=teacher is not None)
    done, is_cancelled = 0, False

    def tell(now: int, of: int) -> None:
        nonlocal done
        done = now
        if is_cancelled:
            raise asyncio.CancelledError

    made = (encoder, learned, checked, request.recipe, work, tell, request.device, teacher)
    training = asyncio.create_task(asyncio.to_thread(fine_tuning.fine_tune, *made))
    try:
        async with progress("Training", steps) as following:
            while not (await asyncio.wait([training], timeout=_LOOK))[0]:
                await following.advance(done - following.done)
        return await training
    finally:
        is_cancelled = True  # a thread cannot be ended from outside


async def carded(
    request: TrainingRequest,
    examples: Examples,
    parts: Mapping[Part, Sequence[Example]],
    trained: Trained,
    started: float,
) -> tuple[Card, Scope]:
    """What there is to know of a trained model: where its texts lie, how sure it is, calibrated on
    the texts that ended its training, and how good, measured on texts that nothing has seen."""
    labels, read = examples.labels, await _reader(request, trained)
    learned_from = _classes(labels, parts["train"])
    scope = Scope.of((await read(learned_from.texts))[1], learned_from.classes)

    async def told(part: Part) -> "tuple[Labelled, Logits, Floats, Logits, Floats]":
        inside = _classes(labels, parts[part])
        logits, vectors = await read(inside.texts)
        beyond, far = await read(_outside(parts[part]))
        return inside, logits, scope.distances(vectors), beyond, scope.distances(far)

    inside, logits, distances, beyond, far = await told("check")
    truth = np.array(inside.classes, dtype=np.int64)
    confidence = learned(logits, distances, truth, beyond, far)
    inside, logits, distances, beyond, far = await told("test")
    truth = np.array(inside.classes, dtype=np.int64)
    # What is outside is wrong, whatever it is taken for.
    sure = np.concatenate([confidence.of(logits, distances), confidence.of(beyond, far)])
    right = np.concatenate([logits.argmax(axis=1) == truth, np.zeros(len(far), dtype=bool)])
    threshold = certified_threshold(sure, right, request.target_accuracy)
    card = Card(
        labels=labels,
        outside=request.outside if any(each.outside for each in examples.items) else None,
        encoder=request.encoder,
        teacher=request.teacher,
        recipe=request.recipe,
        confidence=confidence,
        target=request.target_accuracy,
        threshold=threshold,
        parts={part: len(items) for part, items in parts.items()},
        notes=examples.notes,
        epochs=trained.best,
        device=trained.device,
        minutes=(time.monotonic() - started) / 60,
        figures=figures(
            logits,
            confidence.of(logits, distances),
            truth,
            confidence.of(beyond, far),
            threshold,
            request.target_accuracy,
        ),
    )
    return card, scope


async def _reader(
    request: TrainingRequest, trained: Trained
) -> "Callable[[Sequence[str]], Awaitable[tuple[Logits, Logits]]]":
    """What reads texts, any number of them, to logits and vectors."""
    encoder = await asyncio.to_thread(
        fine_tuning.load_classifier, trained.folder, request.recipe.most_tokens
    )
    shapes = [each.shape[1:] for each in await encoder.read(["any"])]

    async def read(texts: Sequence[str]) -> "tuple[Logits, Logits]":
        if not texts:
            none = [np.empty((0, *shape), dtype=np.float32) for shape in shapes]
            return none[0], none[1]
        logits, vectors = await encoder.read(texts)
        return logits, vectors

    return read


def _classes(labels: Sequence[str], examples: Sequence[Example]) -> Labelled:
    place = {label: number for number, label in enumerate(labels)}
    inside = [each for each in examples if not each.outside]
    return Labelled([each.text for each in inside], [place[each.label] for each in inside])


def _outside(examples: Sequence[Example]) -> list[str]:
    return [each.text for each in examples if each.outside]


async def _folders(request: TrainingRequest) -> tuple[Path, Path | None]:
    """Where the encoder is, and the teacher if there is one. Raises InputError."""
    encoder = await asyncio.to_thread(fine_tuning.encoder_folder, request.encoder)
    if request.teacher == NOBODY:
        return encoder, None
    return encoder, await asyncio.to_thread(fine_tuning.encoder_folder, request.teacher)


def _work(request: TrainingRequest, examples: Examples) -> Path:
    """The folder of a training: the same for the same texts, encoders and recipe."""
    encoders = f"{request.encoder} {request.teacher}"
    said = f"{examples.sha256} {encoders} {request.recipe.model_dump_json()}"
    name = f"training-{hashlib.sha256(said.encode()).hexdigest()[:16]}"
    folder = get_settings().home / "specialists" / name
    with writing(folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
    return folder
