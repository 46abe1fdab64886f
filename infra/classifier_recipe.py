"""How a classifier is trained, what from, and what each epoch came to."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

_TEXTS_READ, _FEWEST_EPOCHS, _MOST_EPOCHS = 64_000, 6, 20  # where nobody says how many epochs

OUTSIDE = -1  # in place of a class: none of them fits


class Recipe(BaseModel):
    """How a model is trained; together with the data, the encoder and the teacher it decides what
    comes out.

    ``patience``: epochs without a better accuracy on the checked texts, after which it ends.
    ``agreement``: weight of the distance between what two passes with dropout say of a text (Liang
    et al. 2021, "R-Drop"); 0 makes one pass, in half the time. ``distillation``: weight of the
    distance to what a teacher makes of a text, where there is one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int | None = Field(
        None,
        ge=1,
        le=100,
        description="Most times that each text is learned from. Empty: by how many there are.",
    )
    patience: int = Field(3, ge=1, description="Epochs without progress, after which it ends.")
    batch: int = Field(32, ge=2, le=1024, description="Texts of a step.")
    encoder_rate: float = Field(2e-4, gt=0, le=1, description="Learning rate of the encoder.")
    head_rate: float = Field(3e-3, gt=0, le=1, description="Learning rate of the head.")
    agreement: float = Field(
        1.0, ge=0, le=100, description="Weight of two passes' distance. 0: one pass, quicker."
    )
    distillation: float = Field(
        2.0, gt=0, le=100, description="Weight of the distance to the teacher, where there is one."
    )
    smoothing: float = Field(0.0, ge=0, lt=1, description="Of the labels.")
    most_tokens: int = Field(128, ge=8, le=512, description="Of a text; the rest is not read.")
    seed: int = Field(0, ge=0, description="The same seed gives the same model.")

    def most_epochs(self, texts: int) -> int:
        """The epochs for so many texts: few of them are learned from more often."""
        by_number = round(_TEXTS_READ / max(1, texts))
        return self.epochs or min(max(by_number, _FEWEST_EPOCHS), _MOST_EPOCHS)

    def steps(self, texts: int) -> int:
        """The batches of so many texts."""
        return math.ceil(texts / self.batch)

    def most_steps(self, texts: int, *, taught: bool) -> int:
        """The batches of all epochs, and of a teacher's reading once before."""
        return self.steps(texts) * (self.most_epochs(texts) + taught)


@dataclass(frozen=True)
class Labelled:
    """Texts, and the class of each: 0, 1, … or `OUTSIDE`, which teaches to be sure of nothing
    (Hendrycks et al. 2019, "Deep Anomaly Detection with Outlier Exposure")."""

    texts: Sequence[str]
    classes: Sequence[int]


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to: mean loss, and loss and accuracy on the checked texts."""

    number: int
    loss: float
    check_loss: float
    check_accuracy: float
    seconds: float
