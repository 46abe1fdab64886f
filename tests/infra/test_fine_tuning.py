"""Fine-tuning an encoder: what it learns, that it goes on where it was killed, what it refuses."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infra.classifier_model import read_by, rows_of, tensors
from infra.classifier_recipe import OUTSIDE, Epoch, Labelled, Recipe
from infra.classifier_training import Training
from infra.errors import InputError, SettingsError
from infra.fine_tuning import _best, encoder_folder, fine_tune, load_classifier, require_training
from tests.tasks.tiny_specialists import RECIPE, WORDS, sentences

LABELS = sorted(WORDS)


def labelled(each: int, seed: int = 0) -> Labelled:
    items = sentences(each, seed=seed)
    return Labelled([e.text for e in items], [LABELS.index(e.label) for e in items])


async def test_a_model_learns_and_reads_texts_without_pytorch(
    encoder: Path, tmp_path: Path
) -> None:
    told: list[tuple[int, int]] = []
    trained = fine_tune(
        encoder,
        labelled(40),
        labelled(10, 1),
        RECIPE,
        tmp_path,
        lambda *now: told.append(now),
    )
    assert (trained.device, len(trained.epochs)) == ("cpu", RECIPE.epochs)
    assert trained.epochs[-1].loss < trained.epochs[0].loss / 5
    assert told[0] == (1, 160)
    assert told[-1] == (160, 160)
    new = labelled(20, 2)
    logits, vectors = await load_classifier(trained.folder, 64).read(["", *new.texts])
    assert (logits.shape, vectors.shape) == ((81, 4), (81, 32))
    assert (logits[1:].argmax(axis=1) == np.array(new.classes)).mean() > 0.95


async def test_what_a_text_is_taken_for_does_not_depend_on_those_beside_it(
    encoder: Path, tmp_path: Path
) -> None:
    brief = RECIPE.model_copy(update={"epochs": 1})
    trained = fine_tune(encoder, labelled(20), labelled(5, 1), brief, tmp_path)
    classifier, texts = load_classifier(trained.folder, 64), labelled(15, 2).texts
    together = (await classifier.read(texts))[0]
    alone = np.concatenate([(await classifier.read([text]))[0] for text in texts])
    assert np.abs(together - alone).max() < 1e-5


def test_training_ends_when_nothing_gets_better(encoder: Path, tmp_path: Path) -> None:
    wild = RECIPE.model_copy(update={"epochs": 30, "patience": 2, "head_rate": 1.0})
    trained = fine_tune(encoder, labelled(20), labelled(10, 1), wild, tmp_path)
    accuracies = [each.check_accuracy for each in trained.epochs]
    assert len(accuracies) == accuracies.index(max(accuracies)) + 1 + 2 < 30
    assert accuracies[trained.best - 1] == max(accuracies)


def test_the_epoch_that_is_right_most_often_is_kept_however_sure_it_is() -> None:
    history = [
        Epoch(1, 2.0, check_loss=0.5, check_accuracy=0.86, seconds=1),
        Epoch(2, 0.5, check_loss=0.6, check_accuracy=0.93, seconds=1),
        Epoch(3, 0.2, check_loss=0.7, check_accuracy=0.93, seconds=1),
    ]
    assert _best(history) == 2


def test_texts_outside_teach_to_be_sure_of_nothing(encoder: Path, tmp_path: Path) -> None:
    inside, strange = labelled(30), [e.text for e in sentences(1, outside=60) if e.outside]
    both = Labelled([*inside.texts, *strange], [*inside.classes, *[OUTSIDE] * len(strange)])
    taught = fine_tune(encoder, both, labelled(10, 1), RECIPE, tmp_path / "taught")
    not_taught = fine_tune(encoder, inside, labelled(10, 1), RECIPE, tmp_path / "not")
    assert _surest(taught.folder, strange) < 0.5 < _surest(not_taught.folder, strange)


def test_a_teacher_reads_texts_outside_too(encoder: Path, teacher: Path, tmp_path: Path) -> None:
    strange = [e.text for e in sentences(1, outside=20) if e.outside]
    both = Labelled([*labelled(10).texts, *strange], [*labelled(10).classes, *[OUTSIDE] * 20])
    brief = RECIPE.model_copy(update={"epochs": 2, "agreement": 0.0})
    trained = fine_tune(encoder, both, labelled(5, 1), brief, tmp_path, teacher=teacher)
    [kept] = tmp_path.glob("taught-*.npy")
    assert np.load(kept).shape == (60, 48)
    assert trained.epochs[1].loss < trained.epochs[0].loss


def _surest(folder: Path, texts: list[str]) -> float:
    import asyncio

    logits, _ = asyncio.run(load_classifier(folder, 64).read(texts))
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return float(chances.max(axis=1).mean())


KILLED = """
import os, signal, sys
from pathlib import Path
from typing import Any
from infra import fine_tuning
from tests.infra.test_fine_tuning import labelled
from tests.tasks.tiny_specialists import RECIPE

def tell(done, of):
    if done == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)

fine_tuning.fine_tune(
    Path(sys.argv[1]),
    labelled(40),
    labelled(10, 1),
    RECIPE,
    Path(sys.argv[2]),
    tell,
    teacher=Path(sys.argv[4]),
)
"""


def test_training_that_was_killed_goes_on_to_the_same_model(
    encoder: Path, teacher: Path, tmp_path: Path
) -> None:
    work = tmp_path / "killed"
    # While the teacher reads, in the midst of the fourth epoch, and of the seventh.
    for batch in (5, 45, 72):
        process = subprocess.run(
            [sys.executable, "-c", KILLED, str(encoder), str(work), str(batch), str(teacher)],
            env=os.environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.returncode == -signal.SIGKILL, process.stderr
        assert not (work / "model").exists()
    told: list[int] = []
    made = (encoder, labelled(40), labelled(10, 1), RECIPE)
    whole = fine_tune(*made, tmp_path / "whole", teacher=teacher)
    again = fine_tune(*made, work, lambda done, of: told.append(done), teacher=teacher)
    assert told[0] == 71  # what the teacher reads and six epochs were kept
    assert told[-1] == 170
    assert (again.folder / "model.onnx").read_bytes() == (whole.folder / "model.onnx").read_bytes()
    assert [e.loss for e in again.epochs] == [e.loss for e in whole.epochs]


def test_few_texts_are_learned_from_more_often() -> None:
    recipe = Recipe()
    assert [recipe.most_epochs(n) for n in (50, 1000, 8000, 100_000)] == [20, 20, 8, 6]
    assert Recipe(epochs=3).most_epochs(50) == 3


@pytest.mark.parametrize("steps", [1, 2, 9, 10, 11, 20])
def test_however_few_steps_there_are_each_has_a_rate(encoder: Path, steps: int) -> None:
    recipe = Recipe(epochs=steps, batch=4)
    training = Training(encoder, 4, recipe, "cpu", texts=4)
    rows = rows_of(encoder, labelled(1), 64)
    for epoch in range(1, steps + 1):
        assert np.isfinite(training.epoch(rows, epoch, lambda done: None))
        assert 0 <= training._optimizer.param_groups[1]["lr"] <= recipe.head_rate


def test_the_mean_of_the_weights_is_kept_and_words_keep_their_embeddings(encoder: Path) -> None:
    training = Training(encoder, 4, RECIPE, "cpu", texts=40)
    words = training._model.encoder.get_input_embeddings().weight.clone()
    rows = rows_of(encoder, labelled(10), 64)
    seen, average = [], training._mean.update_parameters

    def noted(model: Any) -> None:
        seen.append(model.head.bias.detach().clone().double())
        average(model)

    training._mean.update_parameters = noted  # type: ignore[method-assign]
    training.epoch(rows, 1, lambda done: None)
    expected = seen[0]
    for step, weights in enumerate(seen[1:], 2):  # Shamir & Zhang 2013, with 8
        expected = expected + 9 / (step + 8) * (weights - expected)
    found = training._mean.module
    assert len(seen) == 3
    assert np.allclose(found.head.bias.detach().numpy(), expected.numpy(), atol=1e-6)
    assert not np.allclose(found.head.bias.detach().numpy(), seen[-1].numpy(), atol=1e-6)
    assert found.encoder.get_input_embeddings().weight.equal(words)


def test_two_passes_with_dropout_are_drawn_together(encoder: Path, tmp_path: Path) -> None:
    def apart(agreement: float) -> float:
        """How far two passes are apart after training."""
        recipe = RECIPE.model_copy(update={"agreement": agreement, "epochs": 8})
        training = Training(encoder, 4, recipe, "cpu", texts=80)
        rows = rows_of(encoder, labelled(20), 64)
        for epoch in range(1, 9):
            training.epoch(rows, epoch, lambda done: None)
        ids, mask, _ = tensors(rows, "cpu")
        one, other = (training._judged(ids, mask)[0].detach().softmax(dim=1) for _ in range(2))
        return float((one - other).abs().mean())

    assert apart(100.0) < apart(0.0) / 2


def read(encoder: Path, texts: Labelled, size: int = 16) -> np.ndarray[Any, Any]:
    return read_by(encoder, rows_of(encoder, texts, 64), size, "cpu", lambda done: None)


def test_a_teacher_reads_each_text_to_a_unit_vector_around_their_mean(teacher: Path) -> None:
    texts = [" ".join(t.split()[: 1 + n % 7]) for n, t in enumerate(labelled(20).texts)]
    vectors = read(teacher, Labelled(texts, [0] * 80))
    assert vectors.shape == (80, 48)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.linalg.norm(vectors.mean(axis=0)) < 0.3
    back = read(teacher, Labelled(texts[::-1], [0] * 80), size=7)[::-1]
    assert (vectors * back).sum(axis=1).min() > 0.99  # each is its text's, whatever is beside it


async def test_what_a_teacher_knows_can_be_told_from_the_vectors_of_whom_he_taught(
    encoder: Path, teacher: Path, tmp_path: Path
) -> None:
    known, new = labelled(60), labelled(40, 2)
    said = np.concatenate([read(teacher, known), read(teacher, new)])

    async def unexplained(teacher: Path | None) -> float:
        """The share of what the teacher says of new texts that the best linear map misses."""
        recipe = RECIPE.model_copy(update={"distillation": 50.0})
        work = tmp_path / f"{teacher and teacher.name}"
        trained = fine_tune(encoder, known, labelled(10, 1), recipe, work, teacher=teacher)
        classifier = load_classifier(trained.folder, 64)
        vectors = (await classifier.read([*known.texts, *new.texts]))[1]
        weights, *_ = np.linalg.lstsq(vectors[:240], said[:240], rcond=None)
        return float(((vectors[240:] @ weights - said[240:]) ** 2).sum() / (said[240:] ** 2).sum())

    assert await unexplained(teacher) < 0.8 * await unexplained(None)


def test_an_encoder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"lacks config\.json, model\.safetensors, tokenizer"):
        encoder_folder(str(tmp_path))


def test_without_pytorch_or_a_gpu_it_says_what_to_do(
    encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_training("cpu")
    with pytest.raises(SettingsError, match="There is no GPU"):
        require_training("cuda")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(SettingsError, match=r"lacks torch\. .*pip install -e '\.\[train\]'"):
        require_training()
