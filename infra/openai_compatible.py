"""LangChain's chat model for endpoints that speak OpenAI's chat completions, on aiohttp.

Everything is ``ChatOpenAI`` but the way to the endpoint: OpenAI's client and httpx beneath it take
about 4 ms of processor a call, which at a hundred calls a second is nearly half a core; this takes
one. What the endpoint refuses is an `EndpointRefusal`.
"""

import json
from functools import cached_property
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx
from langchain_openai import ChatOpenAI
from pydantic import PrivateAttr

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_core.callbacks import AsyncCallbackManagerForLLMRun
    from langchain_core.messages import BaseMessage
    from langchain_core.outputs import ChatResult


class EndpointRefusal(Exception):
    """The endpoint answered, but with no reply. ``code`` is its own word for why, if it has one."""

    def __init__(
        self, status_code: int, message: str, code: str | None, headers: "Mapping[str, str]"
    ) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.code = code
        self.headers = headers


class OpenAICompatible(ChatOpenAI):
    """``ChatOpenAI`` for plain replies: no streams. Bound to the event loop that first uses it."""

    _kept_session: aiohttp.ClientSession | None = PrivateAttr(None)

    @cached_property
    def _url(self) -> httpx.URL:
        base: httpx.URL = self.root_async_client.base_url
        return base.join("chat/completions")

    async def _agenerate(
        self,
        messages: "list[BaseMessage]",
        stop: list[str] | None = None,
        run_manager: "AsyncCallbackManagerForLLMRun | None" = None,
        **kwargs: Any,
    ) -> "ChatResult":
        payload = self._get_request_payload(messages, stop=stop, **kwargs)
        async with self._session().post(str(self._url), json=payload) as response:
            body = await response.read()
            if response.status != 200:
                raise _refusal(response.status, body, response.headers)
        try:
            result = self._create_chat_result(json.loads(body))
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"It is no chat completion: {error}") from error
        if not result.generations:
            raise ValueError("It is a chat completion without a choice.")
        return result

    async def aclose(self) -> None:
        """Close the connections to the endpoint."""
        if self._kept_session:
            await self._kept_session.close()

    def _session(self) -> aiohttp.ClientSession:
        if self._kept_session is None:
            client = self.root_async_client
            headers = {**client.default_headers, **client.auth_headers}
            # The environment's proxy is for other machines.
            here = self._url.host in ("127.0.0.1", "localhost", "::1")
            tls = True if self._url.scheme == "http" else httpx.create_ssl_context()
            self._kept_session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ssl=tls),
                timeout=aiohttp.ClientTimeout(total=None),  # the caller has one for the whole
                headers={name: said for name, said in headers.items() if isinstance(said, str)},
                trust_env=not here,
            )
        return self._kept_session


def _refusal(status: int, body: bytes, headers: "Mapping[str, str]") -> EndpointRefusal:
    said = body.decode("utf-8", "replace")
    code = None
    try:
        error = json.loads(said)["error"]
        said, code = str(error["message"]), error.get("code")
    except (ValueError, KeyError, TypeError):  # an error page, or a form of its own
        pass
    return EndpointRefusal(status, said or f"status {status}", code, headers)
