"""A fine-tuned classifier beside the encoder as it was before, with a head of its own.

Fine-tuning forgets some of what the encoder knew, and two that err on different texts are right
more often together: their logits are mixed (Wortsman et al. 2022, "Robust fine-tuning of zero-shot
models", mix the weights, and compare that with mixing the outputs, as is done here, where the two
have heads of their own). How much of the earlier one, held-back texts say.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.classifier_model import Row, classifier, read, targets

if TYPE_CHECKING:
    from torch import Tensor

_SHARES = tuple(tenth / 10 for tenth in range(8))  # of the earlier one's logits
_TEMPERATURES = tuple(2 ** (step / 4) for step in range(-8, 9))
_LOOSE = 20.0  # how little the weights of its head are held back
_STEPS = 500  # of L-BFGS, at most


def before_training(encoder: Path, rows: Sequence[Row], classes: int, device: str) -> Any:
    """The encoder as it is, with a head that has learned from rows: logistic regression with a
    penalty on the squares of its weights, as for vectors of unit length."""
    import torch

    model = classifier(encoder, classes).to(device).requires_grad_(False).eval()
    _, vectors, of = read(model, rows, device)
    wanted, size = targets(of, classes), vectors.square().sum(dim=1).mean()
    head = model.head.requires_grad_(True)
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    search = torch.optim.LBFGS(
        head.parameters(), max_iter=_STEPS, line_search_fn="strong_wolfe", tolerance_change=1e-7
    )

    def loss() -> "Tensor":
        search.zero_grad()
        unlikely = torch.nn.functional.cross_entropy(head(vectors), wanted)
        held = size * head.weight.square().sum() / (2 * _LOOSE * len(rows))
        (unlikely + held).backward()
        return unlikely + held

    search.step(loss)
    return model.requires_grad_(False)


def best_share(tuned: Any, before: Any, rows: Sequence[Row], device: str) -> float:
    """The share of the earlier one's logits at which the classes of the rows are least unlikely,
    each mixture at its own best temperature: what is softer would else seem better."""
    import torch

    some, _, of = read(tuned.eval(), rows, device)
    others, _, _ = read(before, rows, device)

    def unlikely(share: float) -> float:
        mixed = torch.lerp(some, others, share)
        return min(float(torch.nn.functional.cross_entropy(mixed / t, of)) for t in _TEMPERATURES)

    return min(_SHARES, key=unlikely)


def beside(tuned: Any, before: Any, share: float) -> Any:
    """Both as one: token ids and mask to mixed logits, and the vectors of the tuned one."""
    import torch

    if not share:
        return tuned
    # They have not been trained, so that one copy does for both.
    before.encoder.set_input_embeddings(tuned.encoder.get_input_embeddings())

    class Pair(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.tuned, self.before = tuned, before

        def forward(self, ids: Any, mask: Any) -> Any:
            logits, vectors = self.tuned(ids, mask)
            others, _ = self.before(ids, mask)
            return torch.lerp(logits, others, share), vectors

    return Pair()
