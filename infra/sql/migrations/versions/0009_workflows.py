"""Workflows that are saved and run again, and changes of which a run makes several."""

from infra.sql.migrations import run_beside

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    run_beside(__file__)
