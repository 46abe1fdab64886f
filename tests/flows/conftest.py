"""One Prefect test server for the session: flows run against it in this process."""

from collections.abc import Iterator

import pytest
from prefect.testing.utilities import prefect_test_harness


@pytest.fixture(scope="session", autouse=True)
def _test_server() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=120):
        yield
