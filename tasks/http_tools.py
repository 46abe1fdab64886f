"""Tools that speak HTTP, to hosts that the settings allow."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from infra import http_calls
from infra.settings import get_settings
from tasks.tools import Approval, tool

Url = Annotated[str, Field(description="The whole address: https://host/path?query.")]


class HttpAnswer(BaseModel):
    """What a host answered. ``value``: of its JSON, null where it is none."""

    model_config = ConfigDict(frozen=True)

    status: int
    text: str
    value: Any = None


def is_usable() -> bool:
    """Whether there is any host to speak to."""
    return bool(get_settings().http_hosts)


@tool(seconds=40)
async def http_get(url: Url) -> HttpAnswer:
    """Read a web address of an allowed host."""
    return HttpAnswer(**vars(await http_calls.request("GET", url)))


@tool(effect="write", seconds=40)
async def http_post(
    url: Url,
    body: Annotated[dict[str, Any], Field(description="The JSON that is sent.")],
    approval: Approval,
) -> HttpAnswer:
    """Send JSON to a web address of an allowed host, with an Idempotency-Key: one that was sent
    twice is done once, where the host honours it."""
    headers = {"Idempotency-Key": approval.key}
    return HttpAnswer(**vars(await http_calls.request("POST", url, body, headers)))
