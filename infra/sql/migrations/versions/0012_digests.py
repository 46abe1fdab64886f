"""Digests: what the themes of a source were when it was last told what has changed."""

from infra.sql.migrations import run_beside

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    run_beside(__file__)
