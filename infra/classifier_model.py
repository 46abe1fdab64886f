"""A classifier in PyTorch: an encoder with a head, the batches that it reads, and its ONNX.

The mean of the last hidden states over a text's tokens goes through one linear layer (Devlin et al.
2019, BERT; Reimers & Gurevych 2019, Sentence-BERT).
"""

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from infra.classifier_recipe import Labelled
from infra.encoders import encodable

if TYPE_CHECKING:
    import torch

TOKENIZER = "tokenizer.json"  # file of an encoder, and of what is made of it
_ALIKE = 50  # batches that are sorted by length together


class Row(NamedTuple):
    """A text's token ids, its class, and what a teacher makes of it (d), empty without one."""

    tokens: list[int]
    of_class: int
    taught: np.ndarray[Any, Any] = np.empty(0, np.float32)


def classifier(encoder: Path, classes: int) -> Any:
    """An encoder with a head: token ids and mask to logits and vectors. The embeddings of words
    stay as they are: half of the weights, of which few texts teach few, and a step is quicker."""
    import torch

    class Classifier(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.encoder = _encoder(encoder)
            self.encoder.get_input_embeddings().requires_grad_(False)
            self.head = torch.nn.Linear(self.encoder.config.hidden_size, classes)

        def forward(self, ids: Any, mask: Any) -> Any:
            return self.judged(self.states(ids, mask), mask)

        def states(self, ids: Any, mask: Any) -> Any:
            return self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state

        def judged(self, states: Any, mask: Any) -> Any:
            vectors = _pooled(states, mask)
            return self.head(vectors), vectors

    return Classifier()


def _encoder(folder: Path) -> Any:
    from transformers import AutoModel
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    return AutoModel.from_pretrained(folder, local_files_only=True)


def _pooled(states: Any, mask: Any) -> Any:
    """The mean of states (n, tokens, d) over each text's tokens."""
    weights = mask.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(dim=1) / weights.sum(dim=1)


def rows_of(encoder: Path, labelled: Labelled, most_tokens: int) -> list[Row]:
    """The texts as token ids, with their classes."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(encoder / TOKENIZER))
    tokenizer.no_padding()
    tokenizer.enable_truncation(most_tokens)
    encoded = tokenizer.encode_batch_fast([encodable(text) for text in labelled.texts])
    return [Row(list(e.ids) or [0], int(c)) for e, c in zip(encoded, labelled.classes, strict=True)]


def read_by(
    encoder: Path, rows: Sequence[Row], size: int, device: str, tell: Callable[[int], None]
) -> np.ndarray[Any, Any]:
    """What an encoder makes of rows of its own tokens, untrained: the mean of each text's last
    hidden states, of unit length, less the mean of all, of unit length again (n, d). ``tell``: of
    batches read."""
    import torch

    model = _encoder(encoder).to(device).eval()
    order = sorted(range(len(rows)), key=lambda row: len(rows[row].tokens))
    found = torch.empty(len(rows), model.config.hidden_size)
    with torch.inference_mode(), narrowly(device):
        for done, start in enumerate(range(0, len(order), size), 1):
            some = order[start : start + size]
            ids, mask, _ = tensors([rows[row] for row in some], device)
            states = model(input_ids=ids, attention_mask=mask).last_hidden_state
            found[some] = torch.nn.functional.normalize(_pooled(states.float(), mask)).cpu()
            tell(done)
    found -= found.mean(dim=0)
    vectors: np.ndarray[Any, Any] = torch.nn.functional.normalize(found, out=found).numpy()
    return vectors


def batches(rows: Sequence[Row], size: int) -> Iterator[list[Row]]:
    """The rows in an order drawn anew, those of about one length together: less padding."""
    import torch

    order = torch.randperm(len(rows)).tolist()
    found = list[list[Row]]()
    for start in range(0, len(order), size * _ALIKE):
        some = sorted(order[start : start + size * _ALIKE], key=lambda row: len(rows[row].tokens))
        found += [[rows[i] for i in some[at : at + size]] for at in range(0, len(some), size)]
    yield from (found[i] for i in torch.randperm(len(found)).tolist())


def tensors(batch: Sequence[Row], device: str) -> "tuple[torch.Tensor, ...]":
    """A batch as token ids and mask (n, tokens), and classes (n)."""
    import torch

    longest = max(len(each.tokens) for each in batch)
    ids = torch.zeros(len(batch), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, each in enumerate(batch):
        ids[row, : len(each.tokens)] = torch.tensor(each.tokens)
        mask[row, : len(each.tokens)] = 1
    classes = torch.tensor([each.of_class for each in batch])
    return ids.to(device), mask.to(device), classes.to(device)


def narrowly(device: str) -> "torch.autocast":
    """A context that computes in bfloat16 where the processor multiplies that faster."""
    import torch

    return torch.autocast(device, dtype=torch.bfloat16, enabled=_has_bfloat16(device))


def _has_bfloat16(device: str) -> bool:
    import torch

    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    asked = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # no public name says it
    return any(getattr(torch.cpu, name, bool)() for name in asked)


def export(model: Any, file: Path, sample: list[int]) -> None:
    """Write a model as ONNX, for any number of texts of any length."""
    import torch

    model = model.to("cpu").eval()
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
