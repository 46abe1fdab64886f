"""One training of a classifier: what its next step depends on, and how that is kept.

AdamW (Loshchilov & Hutter 2019) with a rate of its own for encoder and head, one cycle each (Smith
& Topin 2019). Each text is read twice with dropout, and what the two passes say is drawn together
(Liang et al. 2021, "R-Drop: Regularized Dropout for Neural Networks"). What is checked, kept and
given out is the mean of the weights of all steps, the later the heavier (polynomial-decay
averaging: Shamir & Zhang 2013, "Stochastic Gradient Descent for Non-smooth Optimization"). Where
there is a teacher, a larger encoder that is not trained, a linear layer is to find in the vectors
what that one makes of a text (Romero et al. 2015, "FitNets: Hints for Thin Deep Nets"): it knows
which texts mean the same, and nothing of labels that are wrong. Where the processor has bfloat16
the encoder computes in it.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from infra.classifier_model import Row, batches, classifier, export, narrowly, tensors
from infra.classifier_recipe import OUTSIDE, Epoch, Recipe

if TYPE_CHECKING:
    import torch

_CHECK_BATCH = 128
# Share of the steps in which the rate rises. Not a tenth: of ten steps that is one, and OneCycleLR
# divides by the steps that are left of it.
_RISE = 0.1001
_LATENESS = 8  # how much heavier later weights are: the mean is about that of the last ninth


class Training:
    """A model in training, and what its next step depends on. ``taught``: the width of a teacher's
    vectors, 0 without one."""

    def __init__(
        self,
        encoder: Path,
        classes: int,
        recipe: Recipe,
        device: str,
        texts: int,
        taught: int = 0,
    ) -> None:
        import torch
        from torch.optim.swa_utils import AveragedModel

        torch.manual_seed(recipe.seed)
        self._recipe, self._device, self._classes = recipe, device, classes
        self._model = classifier(encoder, classes).to(device)
        self._mean = AveragedModel(self._model, multi_avg_fn=_average)
        self._learned = [each for each in self._model.parameters() if each.requires_grad]
        projection = [torch.nn.Linear(self._model.head.in_features, taught)] if taught else []
        self._projection = torch.nn.Sequential(*projection).to(device)
        of_encoder = [each for each in self._model.encoder.parameters() if each.requires_grad]
        heads = [*self._model.head.parameters(), *self._projection.parameters()]
        groups = [
            {"params": of_encoder, "lr": recipe.encoder_rate},
            {"params": heads, "lr": recipe.head_rate},
        ]
        self._optimizer = torch.optim.AdamW(groups, weight_decay=0.01, fused=True)
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimizer,
            max_lr=[recipe.encoder_rate, recipe.head_rate],
            total_steps=recipe.steps(texts) * recipe.most_epochs(texts),
            pct_start=_RISE,
        )
        self._loss = torch.nn.CrossEntropyLoss(label_smoothing=recipe.smoothing)

    def epoch(self, rows: Sequence[Row], number: int, tell: Callable[[int], None]) -> float:
        """Learn from every row once; the mean loss."""
        import torch

        # What is drawn depends on the epoch alone, so that one that is begun anew is the same.
        torch.manual_seed(self._recipe.seed * 1000 + number)
        self._model.train()
        total = 0.0
        for done, batch in enumerate([*batches(rows, self._recipe.batch)], 1):
            loss = self._loss_of(batch)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self._learned, 1.0)
            self._optimizer.step()
            self._schedule.step()
            self._optimizer.zero_grad()
            self._mean.update_parameters(self._model)
            total += loss.item() * len(batch)
            tell(done)
        return total / len(rows)

    def check(self, rows: Sequence[Row]) -> tuple[float, float]:
        """Mean loss and accuracy of the mean weights on rows that are not learned from."""
        import torch

        model = self._mean.module.eval()
        loss, right = 0.0, 0
        ordered = sorted(rows, key=lambda row: len(row.tokens))
        with torch.inference_mode():
            for start in range(0, len(ordered), _CHECK_BATCH):
                ids, mask, classes = tensors(ordered[start : start + _CHECK_BATCH], self._device)
                logits, _ = model(ids, mask)
                found = torch.nn.functional.cross_entropy(logits, classes, reduction="sum")
                loss += found.item()
                right += int((logits.argmax(dim=1) == classes).sum())
        return loss / max(1, len(rows)), right / max(1, len(rows))

    def save(self, file: Path, history: Sequence[Epoch]) -> None:
        """Keep all that the next epoch depends on; whole or not at all."""
        kept = {
            "model": self._model.state_dict(),
            "mean": self._mean.state_dict(),
            "projection": self._projection.state_dict(),
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
        self._mean.load_state_dict(kept["mean"])
        self._projection.load_state_dict(kept["projection"])
        self._optimizer.load_state_dict(kept["optimizer"])
        self._schedule.load_state_dict(kept["schedule"])
        return [Epoch(**each) for each in kept["history"]]

    def save_model(self, file: Path) -> None:
        """Keep the mean weights as they are now."""
        _save(self._mean.module.state_dict(), file)

    def load_model(self, file: Path) -> None:
        """Take the mean weights of a file."""
        import torch

        kept = torch.load(file, map_location=self._device, weights_only=True)
        self._mean.module.load_state_dict(kept)

    def export(self, file: Path, sample: list[int]) -> None:
        """Write the model of the mean weights as ONNX."""
        export(self._mean.module, file, sample)

    def _loss_of(self, batch: Sequence[Row]) -> "torch.Tensor":
        """How unlikely the classes are, how far two passes with dropout are apart, and how far both
        from what the teacher says."""
        ids, mask, classes = tensors(batch, self._device)
        recipe, passes = self._recipe, 2 if self._recipe.agreement else 1
        logits, vectors = self._judged(ids.repeat(passes, 1), mask.repeat(passes, 1))
        loss = self._loss(logits, self._targets(classes).repeat(passes, 1))
        if passes == 2:
            loss = loss + recipe.agreement * _apart(*logits.log_softmax(dim=1).chunk(2))
        if len(self._projection):
            loss = loss + recipe.distillation * self._from_teacher(vectors, batch, passes)
        return loss

    def _judged(self, ids: "torch.Tensor", mask: "torch.Tensor") -> "tuple[torch.Tensor, ...]":
        """Logits and vectors."""
        with narrowly(self._device):
            states = self._model.states(ids, mask)
        logits, vectors = self._model.judged(states.float(), mask)
        return logits, vectors

    def _from_teacher(
        self, vectors: "torch.Tensor", batch: Sequence[Row], passes: int
    ) -> "torch.Tensor":
        """How far the projected vectors are from what the teacher says of the texts: 1 - cosine."""
        import torch

        taught = torch.from_numpy(np.stack([each.taught for each in batch])).to(self._device)
        projected = self._projection(vectors)
        near = torch.nn.functional.cosine_similarity(projected, taught.repeat(passes, 1))
        return 1 - near.mean()

    def _targets(self, classes: "torch.Tensor") -> "torch.Tensor":
        """How likely each class is to be: one is certain, or all are alike."""
        import torch

        certain = torch.nn.functional.one_hot(classes.clamp(min=0), self._classes).float()
        alike = torch.full_like(certain, 1 / self._classes)
        return torch.where((classes == OUTSIDE).unsqueeze(1), alike, certain)


def _apart(one: "torch.Tensor", other: "torch.Tensor") -> "torch.Tensor":
    """How far two passes are apart, of logarithms of chances: Kullback-Leibler, both ways."""
    from torch.nn.functional import kl_div

    there = kl_div(one, other, reduction="batchmean", log_target=True)
    back = kl_div(other, one, reduction="batchmean", log_target=True)
    return (there + back) / 2


def _average(mean: Any, now: Any, steps: Any) -> None:
    """Move mean weights, of so many steps, towards those that are now."""
    share = (_LATENESS + 1) / (float(steps) + 1 + _LATENESS)
    for kept, weights in zip(mean, now, strict=True):
        kept.lerp_(weights, share)


def _save(kept: Any, file: Path) -> None:
    import torch

    draft = file.with_suffix(".draft")
    torch.save(kept, draft)
    draft.replace(file)
