"""Specialists: small models trained on labels, who serves, and what was decided by whom."""

from infra.sql.migrations import run_beside

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    run_beside(__file__)
