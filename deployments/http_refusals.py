"""Answers over HTTP that are none: errors in the form that OpenAI's clients read."""

from collections.abc import Mapping

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infra.errors import (
    ContextOverflow,
    DatabaseUnavailable,
    InputError,
    ModelError,
    ModelRateLimited,
    ModelUnavailable,
)

MOST_BYTES = 1_000_000  # of a request's body


class Fault(BaseModel):
    """What is wrong; ``type``: its kind."""

    message: str
    type: str
    code: None = None


class Refusal(BaseModel):
    """Every answer that is none, in OpenAI's form."""

    error: Fault


async def refusal(request: Request, error: Exception) -> Response:
    """An error of ours in OpenAI's form, with the status that fits."""
    status, headers = 500, dict[str, str]()
    match error:
        case ModelRateLimited():
            status, headers = 429, {"Retry-After": str(round(error.retry_after or 1))}
        case ModelUnavailable() | DatabaseUnavailable():
            status = 503
        case InputError() | ContextOverflow():
            status = 422
        case ModelError():
            status = 502
    return error_response(status, str(error), type(error).__name__, headers)


async def http_refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, StarletteHTTPException)
    return error_response(error.status_code, str(error.detail), "Refused", error.headers)


async def unfit(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    if "json" not in request.headers.get("Content-Type", ""):
        return error_response(
            422, "Send JSON, with the header Content-Type: application/json.", "Unfit"
        )
    faults = [f"{'.'.join(map(str, e['loc'][1:])) or 'body'}: {e['msg']}" for e in error.errors()]
    return error_response(422, "; ".join(faults), "Unfit")


def error_response(
    status: int, message: str, kind: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """An error as OpenAI's clients read it."""
    content = Refusal(error=Fault(message=message, type=kind)).model_dump()
    return JSONResponse(content, status, headers)


class SmallBodies:
    """Refuses a body that is too large before it is in memory."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        told = dict(scope["headers"]).get(b"content-length", b"0")
        body, more = bytearray(), not told.isdigit() or int(told) <= MOST_BYTES
        refused = not more
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > MOST_BYTES:
                refused, more = True, False
        if refused:
            too_large = error_response(413, f"A request may have {MOST_BYTES:,} bytes.", "TooLarge")
            await too_large(scope, receive, send)
            return
        whole = iter([{"type": "http.request", "body": bytes(body), "more_body": False}])

        async def replayed() -> Message:
            return next(whole, None) or await receive()

        await self._app(scope, replayed, send)
