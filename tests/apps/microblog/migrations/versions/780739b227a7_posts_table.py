"""posts table

Revision ID: 780739b227a7
Revises:
Create Date: 2017-09-11 12:23:25.496587

"""
from alembic import op
import sqlalchemy as sa

revision = '780739b227a7'
down_revision = None
branch_labels = None
depends_on = None


def upgrade():
    op.create_table('post',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('body', sa.String(length=140), nullable=False),
    sa.Column('timestamp', sa.DateTime(), nullable=True),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_index(op.f('ix_post_timestamp'), 'post', ['timestamp'], unique=False)


def downgrade():
    op.drop_index(op.f('ix_post_timestamp'), table_name='post')
    op.drop_table('post')
