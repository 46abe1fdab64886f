"""Human review: drafts as they were shown, decisions in a chain that nobody can change unseen."""

from infra.sql.migrations import run_beside

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    run_beside(__file__)
