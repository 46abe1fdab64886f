"""The facts that a theme is worded from stay the same while it grows."""

from infra.sql.migrations import run_beside

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    run_beside(__file__)
