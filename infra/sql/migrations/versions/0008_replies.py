"""Replies to customers that people have released."""

from infra.sql.migrations import run_beside

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    run_beside(__file__)
