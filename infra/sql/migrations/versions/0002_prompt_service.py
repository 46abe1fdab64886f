"""The prompt service: versions that can be served again, labels that move, replay."""

from infra.sql.migrations import run_beside

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    run_beside(__file__)
