"""The caching layer: replies that are checked and expire, similar questions, what was learned."""

from infra.sql.migrations import run_beside

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    run_beside(__file__)
