"""What the commands share, in this process."""

import gc
from contextlib import nullcontext

import pytest

from deployments import terminal
from deployments.terminal import run_flow
from infra.errors import InputError


def test_options_that_do_not_fit_are_told_and_the_process_goes_on_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(terminal, "_on_the_server", nullcontext)
    monkeypatch.setenv("PREFECT_LOGGING_LEVEL", "INFO")
    with pytest.raises(InputError, match="strategy: Input should be 'read' or 'embed'"):
        run_flow("flows.recursive_summary.plan_summary", request={"source": "f", "strategy": "x"})
    assert gc.isenabled()
