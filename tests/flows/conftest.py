"""Our own Prefect server for the session, on PostgreSQL: flows run against it in this process.

Not Prefect's test harness: its SQLite answers "database is locked" to the writes of a run's many
tasks at once, and the client then waits for up to a minute.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker

from deployments.server import use_server
from infra import prefect_server


@pytest.fixture(scope="session", autouse=True)
def _server(session_home: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("PREFECT_API_URL", "PREFECT_HOME"):
            patch.setenv(name, "")  # to be as it was, in the end
            patch.delenv(name)
        use_server(session_home)
        yield
        # They would wait for a server that is gone when the process ends.
        APILogWorker.drain_all()
        EventsWorker.drain_all()
    prefect_server.stop(session_home)
