"""Shards: passages that several processes read for one run, and a budget that they share."""

from infra.sql.migrations import run_beside

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    run_beside(__file__)
