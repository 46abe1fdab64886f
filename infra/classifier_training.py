"""One training of a classifier: what its next step depends on, and how that is kept.

The mean of the last hidden states over a text's tokens goes through one linear layer (Devlin et al.
2019, BERT; Reimers & Gurevych 2019, Sentence-BERT). AdamW (Loshchilov & Hutter 2019) with a rate of
its own for encoder and head, one cycle each (Smith & Topin 2019).
"""

import logging
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from infra.encoders import encodable

if TYPE_CHECKING:
    import torch

TOKENIZER = "tokenizer.json"  # file of an encoder, and of what is made of it
_STEPS, _FEWEST_EPOCHS, _MOST_EPOCHS = 1600, 5, 20  # where nobody says how many
_ALIKE = 20  # batches that are sorted by length together
_CHECK_BATCH = 128


class Recipe(BaseModel):
    """How a model is trained; together with the data and the encoder it decides what comes out.

    ``patience``: epochs without a better accuracy on the checked texts, after which it ends.
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
    smoothing: float = Field(0.0, ge=0, lt=1, description="Of the labels.")
    most_tokens: int = Field(128, ge=8, le=512, description="Of a text; the rest is not read.")
    seed: int = Field(0, ge=0, description="The same seed gives the same model.")

    def most_epochs(self, texts: int) -> int:
        """The epochs for so many texts: few of them are learned from more often."""
        by_number = round(_STEPS * self.batch / max(1, texts))
        return self.epochs or min(max(by_number, _FEWEST_EPOCHS), _MOST_EPOCHS)


OUTSIDE = -1  # in place of a class: none of them fits


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


Row = tuple[list[int], int]


class Training:
    """A model in training, and what its next step depends on."""

    def __init__(
        self, encoder: Path, classes: int, recipe: Recipe, device: str, texts: int
    ) -> None:
        import torch

        torch.manual_seed(recipe.seed)
        self._recipe, self._device, self._classes = recipe, device, classes
        self._model = _classifier(encoder, classes).to(device)
        groups = [
            {"params": self._model.encoder.parameters(), "lr": recipe.encoder_rate},
            {"params": self._model.head.parameters(), "lr": recipe.head_rate},
        ]
        self._optimizer = torch.optim.AdamW(groups, weight_decay=0.01)
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimizer,
            max_lr=[recipe.encoder_rate, recipe.head_rate],
            total_steps=math.ceil(texts / recipe.batch) * recipe.most_epochs(texts),
            pct_start=0.1,
        )
        self._loss = torch.nn.CrossEntropyLoss(label_smoothing=recipe.smoothing)

    def epoch(self, rows: Sequence[Row], number: int, tell: Callable[[int], None]) -> float:
        """Learn from every row once; the mean loss."""
        import torch

        # What is drawn depends on the epoch alone, so that one that is begun anew is the same.
        torch.manual_seed(self._recipe.seed * 1000 + number)
        self._model.train()
        total = 0.0
        batches = list(_batches(rows, self._recipe.batch))
        for done, batch in enumerate(batches, 1):
            ids, mask, classes = self._tensors(batch)
            logits, _ = self._model(ids, mask)
            loss = self._loss(logits, self._targets(classes))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
            self._optimizer.step()
            self._schedule.step()
            self._optimizer.zero_grad()
            total += loss.item() * len(batch)
            tell(done)
        return total / len(rows)

    def check(self, rows: Sequence[Row]) -> tuple[float, float]:
        """Mean loss and accuracy on rows that are not learned from."""
        import torch

        self._model.eval()
        loss, right = 0.0, 0
        ordered = sorted(rows, key=lambda row: len(row[0]))
        with torch.inference_mode():
            for start in range(0, len(ordered), _CHECK_BATCH):
                batch = ordered[start : start + _CHECK_BATCH]
                ids, mask, classes = self._tensors(batch)
                logits, _ = self._model(ids, mask)
                found = torch.nn.functional.cross_entropy(logits, classes, reduction="sum")
                loss += found.item()
                right += int((logits.argmax(dim=1) == classes).sum())
        return loss / max(1, len(rows)), right / max(1, len(rows))

    def save(self, file: Path, history: Sequence[Epoch]) -> None:
        """Keep all that the next epoch depends on; whole or not at all."""
        kept = {
            "model": self._model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "history": [vars(epoch) for epoch in history],
        }
        _save(kept, file)

    def load(self, file: Path) -> list[Epoch]:
        """Take up what was kept; the epochs that are done."""
        import torch

        if not file.exists():
            return []
        kept = torch.load(file, map_location=self._device, weights_only=True)
        self._model.load_state_dict(kept["model"])
        self._optimizer.load_state_dict(kept["optimizer"])
        self._schedule.load_state_dict(kept["schedule"])
        return [Epoch(**each) for each in kept["history"]]

    def save_model(self, file: Path) -> None:
        """Keep the model as it is now."""
        _save(self._model.state_dict(), file)

    def load_model(self, file: Path) -> None:
        """Take the model of a file."""
        import torch

        kept = torch.load(file, map_location=self._device, weights_only=True)
        self._model.load_state_dict(kept)

    def export(self, file: Path, sample: list[int]) -> None:
        """Write the model as ONNX, for any number of texts of any length."""
        import torch

        model = self._model.to("cpu").eval()
        ids = torch.tensor([sample, sample])
        texts, length = torch.export.Dim("texts"), torch.export.Dim("length")
        shape = {0: texts, 1: length}
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporter's own insides
            torch.onnx.export(
                model,
                (ids, torch.ones_like(ids)),
                str(file),
                input_names=["input_ids", "attention_mask"],
                output_names=["logits", "vectors"],
                dynamic_shapes={"ids": shape, "mask": shape},
                dynamo=True,
                external_data=False,
                verbose=False,
            )

    def _targets(self, classes: "torch.Tensor") -> "torch.Tensor":
        """How likely each class is to be: one is certain, or all are alike."""
        import torch

        certain = torch.nn.functional.one_hot(classes.clamp(min=0), self._classes).float()
        alike = torch.full_like(certain, 1 / self._classes)
        return torch.where((classes == OUTSIDE).unsqueeze(1), alike, certain)

    def _tensors(self, batch: Sequence[Row]) -> "tuple[torch.Tensor, ...]":
        import torch

        longest = max(len(tokens) for tokens, _ in batch)
        ids = torch.zeros(len(batch), longest, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, (tokens, _) in enumerate(batch):
            ids[row, : len(tokens)] = torch.tensor(tokens)
            mask[row, : len(tokens)] = 1
        classes = torch.tensor([each for _, each in batch])
        return ids.to(self._device), mask.to(self._device), classes.to(self._device)


def _classifier(encoder: Path, classes: int) -> Any:
    """An encoder with a head: token ids and mask to logits and vectors."""
    import torch
    from transformers import AutoModel
    from transformers.utils.logging import disable_progress_bar

    class Classifier(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.encoder = AutoModel.from_pretrained(encoder, local_files_only=True)
            self.head = torch.nn.Linear(self.encoder.config.hidden_size, classes)

        def forward(self, ids: Any, mask: Any) -> Any:
            states = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
            weights = mask.unsqueeze(-1).to(states.dtype)
            vectors = (states * weights).sum(dim=1) / weights.sum(dim=1)
            return self.head(vectors), vectors

    disable_progress_bar()
    return Classifier()


def _tokenizer(encoder: Path, most: int) -> Any:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(encoder / TOKENIZER))
    tokenizer.no_padding()
    tokenizer.enable_truncation(most)
    return tokenizer


def rows_of(encoder: Path, labelled: Labelled, most_tokens: int) -> list[Row]:
    """The texts as token ids, with their classes."""
    tokenizer = _tokenizer(encoder, most_tokens)
    encoded = tokenizer.encode_batch_fast([encodable(text) for text in labelled.texts])
    return [(list(e.ids) or [0], int(c)) for e, c in zip(encoded, labelled.classes, strict=True)]


def _batches(rows: Sequence[Row], size: int) -> Iterator[list[Row]]:
    """The rows in an order drawn anew, those of about one length together: less padding."""
    import torch

    order = torch.randperm(len(rows)).tolist()
    found = list[list[Row]]()
    for start in range(0, len(order), size * _ALIKE):
        some = sorted(order[start : start + size * _ALIKE], key=lambda row: len(rows[row][0]))
        found += [[rows[i] for i in some[at : at + size]] for at in range(0, len(some), size)]
    yield from (found[i] for i in torch.randperm(len(found)).tolist())


def _save(kept: Any, file: Path) -> None:
    import torch

    draft = file.with_suffix(".draft")
    torch.save(kept, draft)
    draft.replace(file)
