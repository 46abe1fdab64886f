"""Calls over HTTP for tools: to hosts of an allow-list, by no redirect elsewhere, bounded."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from infra.errors import InputError
from infra.settings import get_settings

MOST_BYTES = 500_000  # of an answer
_TIMEOUT = aiohttp.ClientTimeout(total=30)


@dataclass(frozen=True)
class Answered:
    """An answer: its status, its text, and the text's value where it is JSON."""

    status: int
    text: str
    value: Any


async def request(
    method: str, url: str, body: Any = None, headers: Mapping[str, str] | None = None
) -> Answered:
    """Ask a host of PATTERNS_HTTP_HOSTS. A redirect is not followed: it is the answer.

    Raises InputError for a host that is not in the list, for no answer, and for one that is too
    large, or with a status of 400 or more.
    """
    require_allowed(url)
    try:
        # Neither proxies nor .netrc of the environment: they would change who is spoken to.
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=False) as session,
            session.request(
                method, url, json=body, headers=headers, allow_redirects=False
            ) as response,
        ):
            content = await response.content.read(MOST_BYTES + 1)
            while len(content) <= MOST_BYTES and not response.content.at_eof():
                content += await response.content.read(MOST_BYTES + 1 - len(content))
    except TimeoutError as error:
        raise InputError(f"{_place(url)} has not answered in 30 seconds.") from error
    except (aiohttp.ClientError, ValueError, OSError) as error:
        raise InputError(f"{_place(url)} does not answer: {type(error).__name__}.") from error
    if len(content) > MOST_BYTES:
        raise InputError(
            f"{_place(url)} answers with more than {MOST_BYTES:,} bytes. Ask for less."
        )
    text = content.decode("utf-8", "replace")
    if response.status >= 400:
        raise InputError(f"{_place(url)} answers {response.status}: {text[:300]}")
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    return Answered(response.status, text, value)


def require_allowed(url: str) -> None:
    """Raise InputError for a URL whose host the settings do not name. A host with a port is that
    port's alone."""
    allowed = get_settings().http_hosts
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise InputError("That is no URL. It has the form https://host/path.") from None
    if parts.scheme not in ("http", "https") or parts.username is not None:
        raise InputError("A URL begins with http:// or https://, and names no user.")
    if host not in allowed and f"{host}:{port}" not in allowed:
        raise InputError(
            f"The host {host} is not one of those that may be spoken to: "
            f"{', '.join(allowed) or 'there are none'}. PATTERNS_HTTP_HOSTS names them."
        )


def _place(url: str) -> str:
    return urlsplit(url).netloc
