"""The semantic cache: a question that was asked before in other words gets the reply of then.

    question → exact? → nearest stored question that passes the guards → similar enough → its reply
                                                                      └ not → model → kept, learned

Only prompts whose front matter names their ``question`` take part; what else they are given, the
tenant, the version, the model and the corpus must be equal. How similar is similar enough is
learned (`tasks.thresholds`): a miss shows whether the nearest stored reply would have been right,
and a share of the hits is checked against the model afterwards. Before a threshold is certified,
and when hits turn out wrong, there are no semantic hits.
"""

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from infra.embeddings import embed, embedder_name
from infra.llm import Reply, complete, kept_reply
from infra.messages import storable
from infra.postgres import HalfVector, Jsonb, fetch, transaction
from infra.request import Request
from infra.settings import get_settings
from infra.sql import queries
from tasks.guards import differences
from tasks.thresholds import Certified, judge, learn

if TYPE_CHECKING:
    import numpy as np

_LONGEST = 2000  # characters of a question; longer ones are hardly asked again
_NEIGHBOURS = 5  # of which the nearest that passes the guards counts
_SAME_PROSE = 0.85  # similarity of two free texts that say the same
_LONG = 3  # words from which a field of a reply is prose
_MOST = 4000  # observations that a threshold is learned from
_RECENT = 500  # of them that must not speak against it
_LEARN_EVERY = 20  # observations, and with each that was wrong


@dataclass(frozen=True)
class Nearest:
    """The stored question that would answer."""

    key: bytes
    similarity: float
    reply: str


@dataclass(frozen=True)
class Asked:
    """A request, and what the cache knows of its question."""

    request: Request
    question: str
    place: bytes
    lesson: int
    threshold: float | None
    vector: "np.ndarray"
    nearest: Nearest | None


async def answer(request: Request, question: str) -> Reply:
    """The reply to a request: its own, that of a similar question, or the model's.

    ``question``: name of the input that holds it. Raises what `infra.llm.complete` and
    `infra.embeddings.embed` raise.
    """
    if reply := await kept_reply(request):
        return reply
    asked = await look_up(request, question)
    if asked is None:
        return await complete(request)
    return await similar_reply(asked) or await ask_and_learn(asked)


async def look_up(request: Request, question: str) -> Asked | None:
    """What the cache knows of a request's question; None where no similar one is wanted: there are
    no semantic hits, or the question is empty or too long to be asked again."""
    inputs = dict(request.inputs or {})
    text = storable(inputs.pop(question))
    bound = get_settings().max_wrong_hits
    if not bound or not 0 < len(text.strip()) <= _LONGEST:
        return None
    place = _place(request, inputs)
    row = await _lesson(request.prompt, request.version, request.model)
    threshold = row["threshold"]
    if threshold is not None and row["bound"] > bound:  # certified for a bound that was lowered
        threshold = (await relearn(row["id"])).threshold
    [vector] = await embed([text])
    return Asked(
        request=request,
        question=text,
        place=place,
        lesson=row["id"],
        threshold=threshold,
        vector=vector,
        nearest=await _nearest(place, text, vector),
    )


async def similar_reply(asked: Asked) -> Reply | None:
    """The reply of the nearest stored question, when it is similar enough. Some are checked."""
    near = asked.nearest
    if near is None or asked.threshold is None or near.similarity < asked.threshold:
        return None
    reply = await kept_reply(asked.request, similar_to=near.key)
    if reply and random.random() < get_settings().cache_check_share:
        params = {
            "lesson": asked.lesson,
            "key": near.key,
            "similarity": near.similarity,
            "prompt": asked.request.prompt,
            "inputs": Jsonb({k: storable(v) for k, v in (asked.request.inputs or {}).items()}),
            "tenant": asked.request.tenant,
            "corpus": asked.request.corpus,
            "sources": list(asked.request.sources),
        }
        await fetch("note_check", params)
    return reply


async def ask_and_learn(asked: Asked) -> Reply:
    """The model's reply: kept for similar questions, and a lesson on what they would have got."""
    reply = await complete(asked.request)
    # While hits are given, of misses as few are counted as of hits: what is counted stays a fair
    # sample of the requests. Those without a neighbour are left out, for in a cache that is just
    # filling they would certify anything; so are those that waited for the same call of another.
    share = 1.0 if asked.threshold is None else get_settings().cache_check_share
    near = asked.nearest
    if near and reply.served_by == "model" and random.random() < share:
        right = await same_answer(near.reply, reply.text)
        await observe(asked.lesson, near.similarity, right, "miss")
    params = {
        "key": bytes.fromhex(reply.key),
        "place": asked.place,
        "embedder": embedder_name(),
        "question": asked.question,
        "embedding": HalfVector(asked.vector),
    }
    await fetch("keep_question", params)
    return reply


async def observe(
    lesson: int,
    similarity: float | None,
    was_right: bool,
    source: str,
    check: int | None = None,
) -> None:
    """Note whether the reply of a question so similar would have been right; learn from it.

    ``check``: the noted check that it comes from, which is made with this.
    """
    params = {
        **{"lesson": lesson, "similarity": similarity, "was_right": was_right, "source": source},
        "check": check,
    }
    [row] = await fetch("observe", params)
    if not was_right or row["unlearned"] >= _LEARN_EVERY:
        await relearn(lesson)


async def relearn(lesson: int) -> Certified:
    """Set a lesson's threshold to what its observations certify.

    When the newest ones alone show that it gives too many wrong answers, what was observed before
    counts no longer: there are no semantic hits until the new observations certify a threshold.
    """
    bound, which = get_settings().max_wrong_hits, {"lesson": lesson}
    async with transaction() as connection:
        [now] = await (await connection.execute(queries()["lock_lesson"], which)).fetchall()
        seen = await connection.execute(queries()["observations"], {**which, "most": _MOST})
        rows = await seen.fetchall()
        similar, right = [r["similarity"] for r in rows], [r["was_right"] for r in rows]
        recent = judge(similar[-_RECENT:], right[-_RECENT:], now["threshold"])
        anew = recent.interval[0] > bound
        certified = learn([], [], bound) if anew else learn(similar, right, bound)
        if certified.threshold is not None:
            state = "on"
        else:
            state = "learning" if now["state"] == "learning" else "off"
        learned = {"threshold": certified.threshold, "bound": bound, "state": state, "anew": anew}
        upto = rows[-1]["id"] if rows else 0
        await connection.execute(queries()["set_lesson"], {**which, **learned, "upto": upto})
    return certified


async def lesson_of(prompt: str, version: str, model: str) -> int:
    """The lesson of a prompt's version with a model, under the present embedder."""
    return int((await _lesson(prompt, version, model))["id"])


async def same_answer(a: str, b: str) -> bool:
    """Whether two replies say the same; in doubt they do not.

    Of replies that are JSON objects, everything but prose must be equal; prose must be similar and
    pass the guards.
    """
    if a.split() == b.split():
        return True
    (decided, prose), (others, other_prose) = _parts(a), _parts(b)
    if decided != others or differences(prose, other_prose):
        return False
    if prose.split() == other_prose.split():
        return True
    one, other = await embed([prose, other_prose])
    return float(one @ other) >= _SAME_PROSE


def _parts(text: str) -> tuple[dict[str, Any], str]:
    """What a reply decides, and its prose; any text but a JSON object is all prose."""
    try:
        fields = json.loads(text)
    except ValueError:
        return {}, text
    if not isinstance(fields, dict):
        return {}, text
    prose = {k: v for k, v in fields.items() if isinstance(v, str) and len(v.split()) > _LONG}
    return {k: v for k, v in fields.items() if k not in prose}, "\n".join(prose.values())


def _place(request: Request, others: dict[str, str]) -> bytes:
    kind = [request.version, request.model, request.schema, request.max_tokens]
    content = [request.tenant, request.corpus, *kind, others]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).digest()


async def _lesson(prompt: str, version: str, model: str) -> dict[str, Any]:
    params = {"prompt": prompt, "version": version, "model": model, "embedder": embedder_name()}
    rows: Sequence[dict[str, Any]] = []
    while not rows:  # none in the moment in which another process makes it
        rows = await fetch("lesson", params)
    return rows[0]


async def _nearest(place: bytes, text: str, vector: "np.ndarray") -> Nearest | None:
    params = {
        "place": place,
        "embedder": embedder_name(),
        "embedding": HalfVector(vector),
        "ttl": get_settings().cache_ttl,
        "most": _NEIGHBOURS,
    }
    indexed = "nearest_questions_384" if len(vector) == 384 else "nearest_questions"
    for row in await fetch(indexed, params):
        if not differences(text, row["question"]):
            return Nearest(row["key"], row["similarity"], row["reply"])
    return None
