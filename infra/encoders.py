"""Small text encoders (ONNX) on this machine's cores.

Only texts of one length share a batch, without padding: what is made of a text is a function of the
text alone, whatever is beside it.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.processors import usable_cores

if TYPE_CHECKING:
    import numpy as np

    Floats = np.ndarray[tuple[int, ...], np.dtype[np.float32]]

MOST_CHARACTERS = 20_000  # cut before tokenizing: enough for 512 word pieces, and quick
_BATCH_TOKENS = 512  # small enough for a core's cache

Progress = Callable[[int], None]
"""Told how many texts have been read since the last time."""


class Encoder:
    """A model file, and its tokenizer. ``most_tokens``: the rest of a text is not read.

    ``outputs``: of the model, by name; ``pool`` makes of them (a batch each) an array a text. Any
    text is taken: an empty one is read too. Made in a thread: loading takes a while.
    """

    def __init__(
        self,
        model: Path,
        tokenizer: Path,
        most_tokens: int,
        outputs: Sequence[str],
        pool: Callable[[list["Floats"]], list["Floats"]] = list,
    ) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        options = onnxruntime.SessionOptions()
        # One thread a run, one run a core: faster than runs that share cores, and no spinning
        # waits.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        cpu = ["CPUExecutionProvider"]
        self._session = onnxruntime.InferenceSession(model, options, providers=cpu)
        self._inputs = {each.name for each in self._session.get_inputs()}
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(most_tokens)
        self._outputs, self._pool = list(outputs), pool

    async def read(self, texts: Sequence[str], progress: Progress | None = None) -> list["Floats"]:
        """What the model makes of the texts: an array (n, …) for each of what is pooled."""
        import numpy as np

        loop, workers = asyncio.get_running_loop(), _workers()
        tokens = await loop.run_in_executor(workers, self._tokens, texts)
        batches = list(_batches([len(each) for each in tokens]))

        async def made(batch: list[int]) -> list["Floats"]:
            rows = [tokens[index] for index in batch]
            found = await loop.run_in_executor(workers, self._run, rows)
            if progress:
                progress(len(batch))
            return found

        found = await asyncio.gather(*map(made, batches))
        order = np.argsort(np.concatenate(batches))
        return [np.concatenate(each)[order] for each in zip(*found, strict=True)]

    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        beginnings = [encodable(text[:MOST_CHARACTERS]) for text in texts]
        # A tokenizer without marks of its own makes nothing of an empty text.
        return [list(each.ids) or [0] for each in self._tokenizer.encode_batch_fast(beginnings)]

    def _run(self, tokens: list[list[int]]) -> list["Floats"]:
        import numpy as np

        ids = np.array(tokens, dtype=np.int64)
        known: dict[str, Any] = {
            "input_ids": ids,
            "attention_mask": np.ones_like(ids),
            "token_type_ids": np.zeros_like(ids),
        }
        inputs = {name: known[name] for name in self._inputs}
        return self._pool(self._session.run(self._outputs, inputs))


def encodable(text: str) -> str:
    """The text with a question mark for each half of a surrogate pair, which has no UTF-8."""
    return text.encode("utf-8", "replace").decode()


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Indices of texts of one length, few enough for a core's cache."""
    alike: dict[int, list[int]] = {}
    for index, length in enumerate(lengths):
        alike.setdefault(length, []).append(index)
    for length, indices in sorted(alike.items()):
        size = max(1, _BATCH_TOKENS // length)
        yield from (indices[start : start + size] for start in range(0, len(indices), size))


@lru_cache(maxsize=1)
def _workers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(usable_cores(), thread_name_prefix="encode")
