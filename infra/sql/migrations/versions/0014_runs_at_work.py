"""Runs at work, by their signs of life."""

from infra.sql.migrations import run_beside

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    run_beside(__file__)
