"""`patterns serve`: the prompt service over HTTP, its own way and as an OpenAI-compatible model.

    POST /v1/prompts/{name}         {"inputs": {…}} → what `patterns prompt --json` prints
    POST /v1/ask                    {"question": …, "collection": …} → as `patterns ask --json`
    POST /v1/classify               {"text": …} → its label, by the specialist or a model
    POST /v1/chat/completions       the prompt's name as the model: any OpenAI client is a client
    GET  /v1/models                 the prompts
    GET  /health, /docs, /openapi.json

Plain functions, never a flow run for each request. On loopback unless told otherwise; every path
under ``/v1`` wants the bearer token. Streaming, keys with budgets and the like are for a gateway.
"""

import asyncio
import gc
import json
import logging
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, HTTPException, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException as StarletteHTTPException

from deployments.http_refusals import Refusal, SmallBodies, http_refusal, refusal, unfit
from infra.errors import (
    InputError,
    PatternsError,
)
from infra.llm import close_door, open_door
from tasks.answers import Answer, PromptRequest, answer_of
from tasks.asking import ask
from tasks.cited_answers import CitedAnswer, QuestionRequest, answer
from tasks.classifying import Classified, ClassifyRequest, classify
from tasks.hit_checks import make_checks
from tasks.prompts import Prompt, load_prompt, prompt_names
from tasks.runs import charged

_log = logging.getLogger(__name__)

_CHECK_EVERY = 10.0  # seconds between two looks for semantic hits to check


class Question(BaseModel):
    """The inputs of a prompt."""

    model_config = ConfigDict(extra="forbid")

    inputs: dict[str, str] = Field(default_factory=dict)
    tenant: str = ""


class TextPart(BaseModel):
    """A part of a message: no images, no sound."""

    type: Literal["text"]
    text: str


class ChatMessage(BaseModel):
    """One message, of text."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | None

    @property
    def text(self) -> str:
        """The text of all parts."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content or ())


class Chat(BaseModel):
    """A request of OpenAI's chat completions, of which the last user message is read: the prompt
    has a system message of its own. What a prompt decides by itself, the temperature for one, may
    be there and is not read."""

    model: str
    messages: list[ChatMessage] = Field(min_length=1)
    stream: bool = False
    tenant: str = ""
    n: int = Field(1, ge=1, le=1)


def create_app(token: str) -> FastAPI:
    """The service, which lets in whoever has the token."""
    # FastAPI's own page of documentation has the browser fetch its scripts from elsewhere.
    app = FastAPIOffline(
        title="LLM Pattern Flows",
        lifespan=_while_it_serves,
        redoc_url=None,
        responses={status: {"model": Refusal} for status in (401, 404, 413, 422, 429, 502, 503)},
    )
    guarded = [Depends(_holder_of(token))]
    app.add_middleware(SmallBodies)
    app.add_exception_handler(PatternsError, refusal)
    app.add_exception_handler(StarletteHTTPException, http_refusal)  # of unknown paths, too
    app.add_exception_handler(RequestValidationError, unfit)
    app.get("/health")(_health)
    app.get("/v1/models", dependencies=guarded)(_models)
    app.post("/v1/prompts/{name}", dependencies=guarded, response_model=Answer)(_answer)
    app.post("/v1/ask", dependencies=guarded, response_model=CitedAnswer)(_ask)
    app.post("/v1/classify", dependencies=guarded, response_model=Classified)(_classify)
    app.post("/v1/chat/completions", dependencies=guarded)(_complete)
    return app


async def _health() -> dict[str, str]:
    return {"status": "ok"}


async def _models() -> dict[str, Any]:
    """The prompts, as OpenAI lists models."""
    fixed = {"object": "model", "created": 0, "owned_by": "patterns"}
    return {"object": "list", "data": [{"id": name, **fixed} for name in prompt_names()]}


async def _answer(name: str, question: Question) -> Response:
    """The reply to a prompt."""
    answer = await _answered(name, question.inputs, question.tenant)
    return Response(answer.model_dump_json(), media_type="application/json")


async def _ask(request: QuestionRequest) -> CitedAnswer:
    """The answer to a question from documents, with quotes that were checked."""
    async with charged():
        return await answer(request)


async def _classify(request: ClassifyRequest) -> Classified:
    """The label of a text, by the specialist that serves, or a model where it is not sure."""
    async with charged():
        return await classify(request)


async def _complete(chat: Chat) -> Response:
    """The reply to the prompt that is named as the model: the last user message is its input, or a
    JSON object of its inputs where it has several."""
    if chat.stream:
        raise InputError("Replies are not streamed: they are checked as a whole first.")
    asked = [message.text for message in chat.messages if message.role == "user"]
    if not asked:
        raise InputError("There is no user message.")
    answer = await _answered(chat.model, asked[-1], chat.tenant)
    message = {"role": "assistant", "content": answer.reply}
    used, made = answer.prompt_tokens, answer.completion_tokens
    return JSONResponse(
        {
            "id": f"chatcmpl-{secrets.token_hex(12)}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": chat.model,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {
                "prompt_tokens": used,
                "completion_tokens": made,
                "total_tokens": used + made,
            },
            "patterns": answer.model_dump(
                include={"version", "served_by", "cost_usd", "latency_ms"}
            ),
        }
    )


async def _answered(name: str, given: dict[str, str] | str, tenant: str) -> Answer:
    if name not in prompt_names():
        raise HTTPException(404, f"There is no prompt {name!r}; GET /v1/models lists them.")
    async with charged():
        inputs = given if isinstance(given, dict) else _inputs(load_prompt(name), given)
        reply = await ask(name, inputs, tenant=tenant)
        return answer_of(PromptRequest(prompt=name, inputs=inputs, tenant=tenant), reply)


def _inputs(prompt: Prompt, text: str) -> dict[str, str]:
    """The inputs of a prompt from the text of one message."""
    if len(prompt.inputs) == 1:
        return {prompt.inputs[0]: text}
    try:
        told = json.loads(text)
    except ValueError:
        told = None
    if not isinstance(told, dict) or not all(isinstance(value, str) for value in told.values()):
        wanted = ", ".join(prompt.inputs)
        raise InputError(f"The user message must be a JSON object of texts: {wanted}.")
    return told


def _holder_of(token: str) -> Any:
    bearer = HTTPBearer(auto_error=False)

    async def check(
        shown: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
    ) -> None:
        if shown is None or not secrets.compare_digest(shown.credentials.encode(), token.encode()):
            raise HTTPException(401, "Wrong or missing token.", {"WWW-Authenticate": "Bearer"})

    return check


@asynccontextmanager
async def _while_it_serves(app: FastAPI) -> AsyncIterator[None]:
    await open_door()
    # What is there now stays: the collector need not walk through all of it again and again, which
    # takes a tenth of a second each time, while every client waits; what comes later, less often.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    checking = asyncio.create_task(_check_hits())
    yield
    checking.cancel()
    await asyncio.gather(checking, return_exceptions=True)
    await close_door()


async def _check_hits() -> None:
    """Check the semantic hits that were noted to be checked, now and then."""
    while True:
        await asyncio.sleep(_CHECK_EVERY)
        try:
            await make_checks()
        except PatternsError as error:  # noted again: whatever is away now may be back later
            _log.warning("Semantic hits could not be checked: %s", error)
        except Exception:  # a fault of ours: told whole, and no reason never to check again
            logging.exception("Semantic hits could not be checked.")
