"""Forgetting: a ticket's words are taken out of everything that is kept."""

from infra.sql.migrations import run_beside

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    run_beside(__file__)
