"""Answers from passages: every claim cites one, and code and a second look have checked the quote.

A model answers in claims, each with the number of a passage and a quote. Code looks the quote up in
the passages, and gives out their own words. A second, small question to the model is whether the
quoted sentence tells what was asked; where it does not, the sentences nearest to the question get
the same look. A claim with a number that its quote does not have is replaced by the quote. What is
left without support is no answer: it is "not in the documents", with the nearest passages.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

from prefect import task
from pydantic import BaseModel, ConfigDict, Field

from infra.embeddings import embed
from infra.llm import Reply
from tasks.asking import ask
from tasks.citations import Citation, citation_of, quoted, worded
from tasks.document_collections import Name
from tasks.passages import estimated_tokens
from tasks.quotes import sentences_of
from tasks.replies import CitedClaim, CitedClaims, StandaloneQuestion, Support
from tasks.retrieval import MOST_CHARACTERS, Found, require_question, search
from tasks.runs import RETRIED

NOT_FOUND = "Not in the documents."

_TURNS = 6  # of a conversation, the last ones
_OTHERS = 2  # sentences that get a second look when a quote does not tell what was asked
_NEAREST = 3  # passages that are shown when there is no answer
# Of a sentence and a question that it answers: of 110 judged questions to three collections, none
# had an answer without a sentence as near as that. Small models say yes to others, too.
_LEAST_SIMILARITY = 0.3


class Turn(BaseModel):
    """A question of the conversation before, and its answer."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    question: str = Field(max_length=MOST_CHARACTERS)
    answer: str = Field(max_length=MOST_CHARACTERS)


class QuestionRequest(BaseModel):
    """A question to the documents of a collection."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    question: str = Field(json_schema_extra={"position": 0})
    collection: Name = Field(json_schema_extra={"position": 1})
    fields: dict[str, list[str]] = Field(
        default_factory=dict,
        description='Only documents with these values, such as {"folder": ["billing"]}.',
        json_schema_extra={"position": 2},
    )
    history: tuple[Turn, ...] = Field(
        (),
        description="The conversation before, for a question that goes on with it.",
        json_schema_extra={"position": 3},
    )
    k: int = Field(
        5,
        ge=1,
        le=20,
        description="Most passages that are read.",
        json_schema_extra={"position": 4},
    )
    context_tokens: int = Field(
        1500,
        ge=100,
        description="Most tokens of passages that are read.",
        json_schema_extra={"position": 5},
    )
    tenant: str = Field(
        "",
        description="Whose reply nobody else is given. Empty: everybody's.",
        json_schema_extra={"position": 6},
    )


class Claim(BaseModel):
    """One thing that an answer says, and where it stands."""

    model_config = ConfigDict(frozen=True)

    text: str
    citation: Citation


class Nearest(BaseModel):
    """A passage that is near to a question, whether it answers it or not."""

    model_config = ConfigDict(frozen=True)

    document: str
    passage: int
    score: float
    context: str
    text: str


class CitedAnswer(BaseModel):
    """An answer from documents. ``question``: as it was understood; ``supported``: whether the
    documents answer it; ``citations``: [1], [2], … in ``answer``; ``nearest``: the nearest passages
    where they do not. Tokens, cost (None: a price is unknown) and time are of all its calls."""

    model_config = ConfigDict(frozen=True)

    question: str
    answer: str
    supported: bool
    citations: tuple[Citation, ...]
    nearest: tuple[Nearest, ...]
    model: str
    model_calls: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None
    latency_ms: float


@dataclass(frozen=True)
class Asked:
    """A question that is understood by itself, and the replies that it took so far."""

    question: str
    replies: tuple[Reply, ...] = ()


@dataclass(frozen=True)
class Draft:
    """What a model answered from passages, unchecked."""

    asked: Asked
    passages: tuple[Found, ...]
    claims: tuple[CitedClaim, ...]


async def answer(request: QuestionRequest) -> CitedAnswer:
    """The answer to a question from the documents of a collection.

    Raises InputError for a question, collection or field that does not fit, and what
    `tasks.asking.ask` and `infra.embeddings.embed` raise.
    """
    asked = await standalone_question(request)
    found = await search(request.collection, asked.question, k=request.k, fields=request.fields)
    return await checked(request, await drafted(request, asked, found))


async def standalone_question(request: QuestionRequest) -> Asked:
    """The question, a follow-up reworded so that it is understood without the conversation."""
    require_question(request.question)
    if not request.history:
        return Asked(request.question)
    turns = (f"Question: {turn.question}\nAnswer: {turn.answer}" for turn in request.history)
    inputs = {"conversation": "\n".join([*turns][-_TURNS:]), "question": request.question}
    reply = await ask("standalone_question", inputs, tenant=request.tenant)
    assert isinstance(reply.value, StandaloneQuestion)
    return Asked(reply.value.question, (reply,))


async def drafted(request: QuestionRequest, asked: Asked, found: Sequence[Found]) -> Draft:
    """What the model answers from as many of the passages as fit. No passage, no call."""
    passages = _fitting(found, request.context_tokens)
    if not passages:
        return Draft(asked, (), ())
    inputs = {"passages": _numbered(passages), "question": asked.question}
    reply = await ask(
        "answer_from_passages",
        inputs,
        sources=tuple(hashlib.sha256(each.text.encode()).hexdigest() for each in passages),
        tenant=request.tenant,
    )
    assert isinstance(reply.value, CitedClaims)
    return Draft(
        Asked(asked.question, (*asked.replies, reply)), passages, tuple(reply.value.claims)
    )


async def checked(request: QuestionRequest, draft: Draft) -> CitedAnswer:
    """The answer that is left of a draft when every quote was looked up and looked at again."""
    replies, claims = [*draft.asked.replies], list[Claim]()
    looks = _Looks(request, draft, replies)
    for said in draft.claims:
        if claim := await looks.supported(said):
            claims.append(claim)
    if draft.passages and not claims and (claim := await looks.nearest_support()):
        claims.append(claim)
    return _answer(draft, _different(claims), replies)


class _Looks:
    """The second looks at a draft: each sentence gets one at most."""

    def __init__(self, request: QuestionRequest, draft: Draft, replies: list[Reply]) -> None:
        self._request, self._draft, self._replies = request, draft, replies
        self._seen: dict[str, bool] = {}

    async def supported(self, said: CitedClaim) -> Claim | None:
        """What a claim comes to: none if its quote stands nowhere or tells something else."""
        citation = quoted(said, self._draft.passages)
        if citation is None or not await self._tells(citation.quote):
            return None
        return Claim(
            text=worded(said.claim.strip(), citation.quote, self._draft.asked.question),
            citation=citation,
        )

    async def nearest_support(self) -> Claim | None:
        """The first of the sentences nearest to the question that tells what it asks for."""
        for passage, sentence in await _nearest_sentences(self._draft):
            if await self._tells(sentence):
                return Claim(text=sentence, citation=citation_of(passage, sentence))
        return None

    async def _tells(self, sentence: str) -> bool:
        if sentence not in self._seen and await self._is_far(sentence):
            self._seen[sentence] = False
        if sentence not in self._seen:
            inputs = {"question": self._draft.asked.question, "sentence": sentence}
            source = hashlib.sha256(sentence.encode()).hexdigest()
            reply = await ask(
                "check_support", inputs, sources=(source,), tenant=self._request.tenant
            )
            assert isinstance(reply.value, Support)
            self._replies.append(reply)
            self._seen[sentence] = reply.value.answers == "yes"
        return self._seen[sentence]

    async def _is_far(self, sentence: str) -> bool:
        question, vector = await embed([self._draft.asked.question, sentence])
        return float(question @ vector) < _LEAST_SIMILARITY


@task(name="make the question standalone", **RETRIED)
async def standalone(request: QuestionRequest) -> Asked:
    """`standalone_question` as a task."""
    return await standalone_question(request)


@task(name="answer from passages", **RETRIED)
async def draft_answer(request: QuestionRequest, asked: Asked, found: Sequence[Found]) -> Draft:
    """`drafted` as a task."""
    return await drafted(request, asked, found)


@task(name="check quotes", **RETRIED)
async def check_answer(request: QuestionRequest, draft: Draft) -> CitedAnswer:
    """`checked` as a task."""
    return await checked(request, draft)


def _fitting(found: Sequence[Found], tokens: int) -> tuple[Found, ...]:
    """The best passages that fit into so many tokens together; one at least."""
    chosen, left = list[Found](), tokens
    for passage in found:
        left -= estimated_tokens(passage.context) + estimated_tokens(passage.text)
        if chosen and left < 0:
            break
        chosen.append(passage)
    return tuple(chosen)


def _numbered(passages: Sequence[Found]) -> str:
    return "\n\n".join(
        "\n".join([f"[{number}] {each.context}".strip(), each.text])
        for number, each in enumerate(passages, 1)
    )


async def _nearest_sentences(draft: Draft) -> list[tuple[Found, str]]:
    sentences = [
        (passage, sentence) for passage in draft.passages for sentence in sentences_of(passage.text)
    ]
    texts = [sentence for _, sentence in sentences]
    told = " ".join([draft.asked.question, *(claim.claim for claim in draft.claims)])
    question, *vectors = await embed([told, *texts])
    ranked = sorted(range(len(texts)), key=lambda i: -float(vectors[i] @ question))
    return [sentences[i] for i in ranked[:_OTHERS]]


def _different(claims: Sequence[Claim]) -> tuple[Claim, ...]:
    """Each thing once: small models say the same again."""
    return tuple({claim.citation.quote: claim for claim in reversed(claims)}.values())[::-1]


def _answer(draft: Draft, claims: Sequence[Claim], replies: Sequence[Reply]) -> CitedAnswer:
    costs = [reply.cost_usd for reply in replies]
    told = " ".join(f"{claim.text} [{number}]" for number, claim in enumerate(claims, 1))
    return CitedAnswer(
        question=draft.asked.question,
        answer=told or NOT_FOUND,
        supported=bool(claims),
        citations=tuple(claim.citation for claim in claims),
        nearest=() if claims else tuple(map(_nearest, draft.passages[:_NEAREST])),
        model=draft.asked.replies[-1].model if draft.asked.replies else "",
        model_calls=sum(reply.served_by == "model" for reply in replies),
        prompt_tokens=sum(reply.prompt_tokens for reply in replies),
        completion_tokens=sum(reply.completion_tokens for reply in replies),
        cost_usd=None if None in costs else math.fsum(cost for cost in costs if cost),
        latency_ms=sum(reply.latency_ms for reply in replies),
    )


def _nearest(passage: Found) -> Nearest:
    return Nearest(**passage.model_dump(include={*Nearest.model_fields}))
