"""What errors of chat models and their endpoints mean to us, whichever client's they are."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
import httpx

from infra.errors import (
    ContextOverflow,
    ModelError,
    ModelRateLimited,
    ModelRefused,
    ModelRejected,
    ModelUnavailable,
)

_CONNECTION_ERRORS = (aiohttp.ClientError, httpx.HTTPError)

_WHERE = "See `patterns doctor`; PATTERNS_CHAT_BASE_URL names the endpoint."
_OVERFLOW = re.compile("maximum context|context (?:length|window|size)|exceed.{0,30}context")


@contextmanager
def translated(model: str) -> Iterator[None]:
    """Turn what a client raises into our errors: this is the border."""
    from langchain_core.exceptions import ContextOverflowError, ModelError

    try:
        yield
    except TimeoutError as error:
        raise ModelUnavailable(
            f"{model} has not answered in time: PATTERNS_CHAT_TIMEOUT says how long to wait."
        ) from error
    except ContextOverflowError as error:
        raise ContextOverflow(f"{model}: the request is longer than its context.") from error
    except Exception as error:
        status = _status_of(error)
        if status is not None:
            raise _refused(model, status, error) from error
        # Also bodies that are no JSON.
        if not isinstance(error, (ModelError, ValueError, OSError, *_CONNECTION_ERRORS)):
            raise
        raise ModelUnavailable(
            f"{model} does not answer: {type(error).__name__}: {first_line(error)} {_WHERE}"
        ) from error


def _status_of(error: Exception) -> int | None:
    """The HTTP status of an error, whichever client's it is."""
    from langchain_core import exceptions as vendor

    said = getattr(error, "status_code", None)
    if isinstance(said, int):
        return said
    statuses = {
        vendor.ModelRateLimitError: 429,
        vendor.ModelInvalidRequestError: 400,
        vendor.ModelAuthenticationError: 401,
        vendor.ModelPermissionDeniedError: 403,
        vendor.ModelNotFoundError: 404,
    }
    return next((status for kind, status in statuses.items() if isinstance(error, kind)), None)


def _refused(model: str, status: int, error: Exception) -> ModelError:
    """The error of ours that an endpoint's status stands for."""
    said, code = first_line(error), getattr(error, "code", None)
    if status == 429:
        return ModelRateLimited(
            f"{model} answers 429: {said} Lower PATTERNS_CHAT_SLOTS, or set "
            "PATTERNS_CHAT_REQUESTS_PER_MINUTE to what the endpoint allows.",
            _retry_after(error),
        )
    if status >= 500 or status == 408:
        return ModelUnavailable(f"{model} answers {status}: {said} {_WHERE}")
    if code in ("content_filter", "content_policy_violation", "invalid_prompt"):
        return ModelRefused(f"{model} declined to answer: {said}")
    if code == "context_length_exceeded" or _OVERFLOW.search(str(error).lower()):
        return ContextOverflow(f"{model}: the request is longer than its context.")
    if status in (401, 403):
        return ModelRejected(f"{model} refuses the key: {said} Check PATTERNS_CHAT_API_KEY.")
    if status == 404:
        return ModelRejected(
            f"The endpoint does not know {model}: {said} Check PATTERNS_CHAT_MODEL "
            "and PATTERNS_CHAT_BASE_URL."
        )
    return ModelRejected(f"{model} refuses the request: {said}")


def _retry_after(error: BaseException) -> float | None:
    headers = getattr(error, "headers", None) or getattr(
        getattr(error, "response", None), "headers", {}
    )
    try:
        if "retry-after-ms" in headers:
            return float(headers["retry-after-ms"]) / 1000
        return float(headers["retry-after"])
    except (KeyError, ValueError):  # absent, or the HTTP date form, which model servers do not use
        return None


def first_line(error: BaseException) -> str:
    """What an error says, in a sentence."""
    return str(error).strip().split("\n")[0][:300].rstrip(".") + "."
