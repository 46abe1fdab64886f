import json
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra import embeddings
from infra.embeddings import DIMENSIONS, count_tokens, embed, embedder_name
from infra.encoders import Encoder
from infra.errors import ModelRateLimited, ModelRejected, ModelUnavailable, SettingsError
from infra.settings import get_settings

TICKETS = [
    "My parcel was marked delivered but nothing arrived.",
    "The app closes itself when I open an invoice.",
    "refund please",
    "Mein Paket ist nicht angekommen!",
    "The app closes itself when I open an invoice. " * 30,
]
# As many word pieces as the first ticket has, so that they share its batch.
ALIKE = [
    TICKETS[0].replace("parcel", word).replace("nothing", other)
    for word in ("letter", "box", "order")
    for other in ("nobody", "little")
]
# The beginning of the vector that the published float32 weights give for the first ticket.
REFERENCE = [0.0401, -0.0017, 0.0217, 0.0097, 0.0159, -0.0433]


async def test_a_vector_is_a_unit_row_that_halfvec_holds_exactly() -> None:
    vectors = await embed(TICKETS)
    assert vectors.shape == (len(TICKETS), DIMENSIONS)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
    np.testing.assert_array_equal(vectors, vectors.astype(np.float16))


async def test_vectors_are_those_of_the_published_model() -> None:
    [vector, *_] = await embed(TICKETS)
    np.testing.assert_allclose(vector[: len(REFERENCE)], REFERENCE, atol=0.004)


async def test_paraphrases_are_nearer_than_strangers() -> None:
    pairs = [
        ("How do I reset my password?", "I forgot my password, how can I change it?"),
        ("The app crashes at start.", "The application shuts down when it is launched."),
        ("I was charged twice.", "The payment was taken two times from my account."),
    ]
    left, right = await embed([a for a, _ in pairs]), await embed([b for _, b in pairs])
    near = left @ right.T
    assert (near.argmax(axis=1) == np.arange(len(pairs))).all()
    assert near.diagonal().min() > 0.5 > (near - np.eye(len(pairs)) * 2).max()


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(others=st.lists(st.sampled_from(TICKETS + ALIKE) | st.text(max_size=60), max_size=8))
async def test_a_text_has_the_same_vector_whatever_stands_beside_it(others: list[str]) -> None:
    [alone] = await embed([TICKETS[0]])
    together = await embed([*others, TICKETS[0]])
    assert together[-1].tobytes() == alone.tobytes()


async def test_order_changes_no_vector() -> None:
    there, back = await embed(TICKETS), await embed(TICKETS[::-1])
    assert there.tobytes() == back[::-1].tobytes()


@pytest.mark.parametrize(
    "text", ["", "   \n", "\0", "a\0b", "half \ud83d of a pair", "😀" * 400, "x" * 50_000]
)
async def test_every_text_has_a_vector(text: str) -> None:
    [vector] = await embed([text])
    assert np.isfinite(vector).all()
    assert abs(np.linalg.norm(vector) - 1) < 1e-3


async def test_of_a_text_of_10_mb_the_beginning_is_read() -> None:
    long = "The courier lost my parcel. " * 375_000
    [vector], [beginning] = await embed([long]), await embed([long[:10_000]])
    assert vector.tobytes() == beginning.tobytes()


async def test_no_texts_have_no_vectors() -> None:
    assert (await embed([])).shape == (0, DIMENSIONS)


async def test_progress_is_told_of_every_text() -> None:
    told: list[int] = []
    await embed(TICKETS * 10, progress=told.append)
    assert sum(told) == len(TICKETS) * 10


async def test_the_loop_is_free_while_texts_are_embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, threads = Encoder._run, set()

    def watched(*arguments: Any) -> Any:
        threads.add(threading.current_thread())
        return reading(*arguments)

    monkeypatch.setattr(Encoder, "_run", watched)
    await embed(TICKETS)
    assert threads
    assert threading.main_thread() not in threads


def test_the_name_says_model_and_version(monkeypatch: pytest.MonkeyPatch) -> None:
    assert embedder_name() == "local:all-minilm-l6-v2@int8-1.0.0"
    monkeypatch.setenv("PATTERNS_EMBEDDING_MODEL", "openai:text-embedding-3-small")
    get_settings.cache_clear()
    assert embedder_name() == "openai:text-embedding-3-small"


def test_tokens_are_counted_text_by_text() -> None:
    assert count_tokens([]) == []
    assert count_tokens(["", "hello", "hello world", "\ud800"]) == [0, 1, 2, 1]
    [many] = count_tokens(["a word " * 10_000])
    assert abs(many - 20_000) < 10  # cut into stretches, now and then within a word


def test_what_the_tokenizer_passes_over_is_counted_by_length() -> None:
    [blob] = count_tokens(["aGVsbG8gd29ybGQ" * 100])
    assert blob >= 1000


class _Embedder(BaseHTTPRequestHandler):
    """Says how long each text is, or the status that the key names."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        key = self.headers["Authorization"].removeprefix("Bearer ")
        status = int(key) if key.isdigit() else 200
        rows = [
            {"object": "embedding", "index": i, "embedding": [len(text), 0.0, 1.0]}
            for i, text in enumerate(asked["input"])
        ]
        body = json.dumps({"object": "list", "data": rows, "model": "m", "usage": {}}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    """Another provider's endpoint."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Embedder) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("PATTERNS_EMBEDDING_MODEL", "openai:any")
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{server.server_port}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "key")
        get_settings.cache_clear()
        yield server
        server.shutdown()


async def test_a_providers_model_may_have_a_version_in_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = list[str]()

    async def there(model: str, texts: Sequence[str], progress: object) -> np.ndarray:
        asked.append(model)
        return np.ones((len(texts), 3), dtype=np.float32)

    monkeypatch.setattr(embeddings, "_embed_there", there)
    await embed(["a"], embedder="google_vertexai:textembedding-gecko@003")
    assert asked == ["google_vertexai:textembedding-gecko@003"]


@pytest.mark.usefixtures("remote")
async def test_another_provider_embeds_when_the_setting_names_it() -> None:
    vectors = await embed(["", "aa", *("bbb" for _ in range(300))])
    expected = np.array([[1, 0, 1], [2, 0, 1], *([3, 0, 1] for _ in range(300))], dtype=np.float32)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(vectors, expected, atol=1e-3)


@pytest.mark.usefixtures("remote")
@pytest.mark.parametrize(
    ("status", "error"),
    [("401", ModelRejected), ("404", ModelRejected), ("429", ModelRateLimited)],
)
async def test_a_providers_refusal_is_an_error_of_its_class(
    monkeypatch: pytest.MonkeyPatch, status: str, error: type[Exception]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", status)
    with pytest.raises(error, match="openai:any"):
        await embed(["a"])


async def test_a_provider_that_cannot_be_reached_is_unavailable(
    remote: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote.shutdown()
    remote.server_close()
    with pytest.raises(ModelUnavailable, match="openai:any"):
        await embed(["a"])


@pytest.mark.parametrize("model", ["nowhere:any", "local:another", "openai:without-a-key"])
async def test_an_embedder_that_does_not_exist_here_is_a_wrong_setting(
    monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("PATTERNS_EMBEDDING_MODEL", model)
    get_settings.cache_clear()
    with pytest.raises(SettingsError, match=f"PATTERNS_EMBEDDING_MODEL={model}"):
        await embed(["a"])
