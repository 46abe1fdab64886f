"""Flows run on the session's Prefect server, in this process."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def _on_our_server(prefect_server: None) -> None:
    """Of every flow."""
