"""Tell another program: a JSON object sent to a URL."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping

from infra.errors import WebhookError

_TIMEOUT = 10.0  # seconds


def post(url: str, message: Mapping[str, object]) -> None:
    """Send the message as JSON. Blocks.

    Raises WebhookError, which does not quote the URL: it may hold a secret.
    """
    if not url.startswith(("http://", "https://")):
        raise WebhookError("PATTERNS_REVIEW_WEBHOOK is no URL of the form https://host/path.")
    body = json.dumps(message).encode()
    request = urllib.request.Request(
        url, data=body, headers={"Content-Type": "application/json"}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT):
            pass
    except urllib.error.HTTPError as error:
        raise WebhookError(f"It answered {error.code}. See PATTERNS_REVIEW_WEBHOOK.") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "reason", None) or type(error).__name__
        raise WebhookError(f"It cannot be reached: {why}. See PATTERNS_REVIEW_WEBHOOK.") from None
