"""Messages, and the heartbeats of processes."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "message",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("author", sa.String(80), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("words", sa.Integer(), nullable=True),
        sa.Column("processed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("processed_by", sa.String(80), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_message"),
    )
    pending = sa.text("processed_at IS NULL")
    op.create_index("ix_message_pending", "message", ["id"], postgresql_where=pending, sqlite_where=pending)
    op.create_table(
        "process",
        sa.Column("id", sa.String(300), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("release", sa.String(80), nullable=False),
        sa.Column("last_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("handled", sa.Integer(), nullable=False),
        sa.Column("per_minute", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_process"),
    )


def downgrade() -> None:
    op.drop_table("process")
    op.drop_index("ix_message_pending", table_name="message")
    op.drop_table("message")
