"""How Prefect behaves in our processes unless the environment says otherwise.

Set when `tasks` or `flows` is imported, which is before Prefect is: its own defaults are to send
usage statistics, to start a throw-away server for a run when it is told of none, and to give up on
a server whose database restarts.
"""

import os

DEFAULTS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
    "PREFECT_CLIENT_RETRY_EXTRA_CODES": "500",  # of a server whose database is away
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",  # what a task says outside of any flow
}


def set_defaults() -> None:
    """Put the defaults into this process's environment."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
