"""The encoder as it was before training, beside the trained one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infra import fine_tuning
from infra.classifier_model import Row, classifier, read, rows_of
from infra.classifier_pair import before_training, beside, best_share
from infra.classifier_recipe import OUTSIDE
from infra.fine_tuning import fine_tune, load_classifier
from tests.infra.test_fine_tuning import labelled
from tests.tasks.tiny_specialists import RECIPE

CLASSES = 4


@pytest.fixture(scope="module")
def rows(encoder: Path) -> list[Row]:
    return rows_of(encoder, labelled(30), 64)


@pytest.fixture(scope="module")
def before(encoder: Path, rows: list[Row]) -> Any:
    return before_training(encoder, rows, CLASSES, "cpu")


def guessing(encoder: Path, seed: int = 1) -> Any:
    """A classifier that was never trained, and is sure of what it guesses."""
    import torch

    torch.manual_seed(seed)
    made = classifier(encoder, CLASSES).eval()
    torch.nn.init.normal_(made.head.weight, std=3.0)
    return made


def test_the_head_of_the_untrained_encoder_knows_the_texts_that_it_has_learned_from(
    before: Any, rows: list[Row]
) -> None:
    logits, _, classes = read(before, rows, "cpu")
    assert float((logits.argmax(dim=1) == classes).float().mean()) > 0.9


def test_of_texts_outside_it_is_sure_of_nothing(encoder: Path, rows: list[Row]) -> None:
    odd = [(tokens, OUTSIDE) for tokens, _ in rows[:30]]
    logits, _, _ = read(before_training(encoder, [*rows[30:], *odd], CLASSES, "cpu"), odd, "cpu")
    assert float(logits.softmax(dim=1).max(dim=1).values.mean()) < 0.75


def test_who_is_right_on_held_back_texts_has_the_larger_share(
    encoder: Path, before: Any, rows: list[Row]
) -> None:
    assert best_share(guessing(encoder), before, rows, "cpu") == 0.7
    assert best_share(before, guessing(encoder), rows, "cpu") == 0.0


def test_logits_are_mixed_and_vectors_are_those_of_the_trained(
    encoder: Path, before: Any, rows: list[Row]
) -> None:
    tuned = guessing(encoder)
    assert beside(tuned, before, 0.0) is tuned
    some, vectors, _ = read(tuned, rows, "cpu")
    others, _, _ = read(before, rows, "cpu")
    both = beside(tuned, before, 0.3)
    mixed, same, _ = read(both, rows, "cpu")
    assert np.allclose(mixed, 0.7 * some + 0.3 * others, atol=1e-5)
    assert same.equal(vectors)
    words = [each.encoder.get_input_embeddings() for each in (both.tuned, both.before)]
    assert words[0] is words[1], "half of the weights are written once"


async def test_what_is_written_says_what_both_say(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = list[Any]()

    def kept(*given: Any) -> Any:
        both.append(beside(*given))
        return both[-1]

    monkeypatch.setattr(fine_tuning, "best_share", lambda *given: 0.4)
    monkeypatch.setattr(fine_tuning, "beside", kept)
    brief = RECIPE.model_copy(update={"epochs": 1})
    made = fine_tune(encoder, labelled(10), labelled(5, 1), brief, tmp_path)
    assert made.untrained_share == 0.4
    asked = labelled(5, 2)
    by_length = sorted(zip(rows_of(encoder, asked, 64), asked.texts, strict=True), key=_length)
    logits, vectors, _ = read(both[0], [row for row, _ in by_length], "cpu")
    said = await load_classifier(made.folder, 64).read([text for _, text in by_length])
    assert np.allclose(said[0], logits, atol=1e-4)
    assert np.allclose(said[1], vectors, atol=1e-4)


def _length(asked: tuple[Row, str]) -> int:
    return len(asked[0][0])
