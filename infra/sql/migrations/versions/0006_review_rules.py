"""Review rules: policies, authors, edits, several people, one-time codes; the chain tells more."""

from infra.sql.migrations import run_beside

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    run_beside(__file__)
