"""How Prefect behaves in our processes unless the environment says otherwise.

Set when `tasks` or `flows` is imported, which is before Prefect is: its own defaults are to send
usage statistics, and to start a throw-away server for a run when it is told of none.
"""

import os

DEFAULTS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",  # what a task says outside of any flow
}


def set_defaults() -> None:
    """Put the defaults into this process's environment."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
