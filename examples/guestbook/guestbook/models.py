"""The tables: messages, and the processes that serve and work on them."""

from datetime import UTC, datetime

from sqlalchemy import DateTime, Index, Integer, MetaData, Select, String, Text, TypeDecorator, select
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


def utcnow() -> datetime:
    """Return the time now, with its zone."""
    return datetime.now(UTC)


class UtcDateTime(TypeDecorator[datetime]):
    """A time that is in UTC on every database (SQLite forgets the zone)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Put the zone back."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """Constraints have names, so that a migration can speak of them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Message(Base):
    """What a visitor wrote; the worker fills in the last three columns."""

    __tablename__ = "message"

    id: Mapped[int] = mapped_column(primary_key=True)
    author: Mapped[str] = mapped_column(String(80))
    text: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)
    words: Mapped[int | None]
    processed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    processed_by: Mapped[str | None] = mapped_column(String(80))

    def to_dict(self) -> dict[str, object]:
        """Return the message as the API shows it."""
        return {
            "id": self.id,
            "author": self.author,
            "text": self.text,
            "created_at": self.created_at.isoformat(),
            "words": self.words,
            "processed_at": self.processed_at.isoformat() if self.processed_at else None,
            "processed_by": self.processed_by,
        }


MAX_ID = 2**31 - 1  # what the column holds


def newest_messages(limit: int, before: int | None = None) -> Select[tuple[Message]]:
    """Ask for the newest messages, or the newest of those before an id."""
    query = select(Message).order_by(Message.id.desc()).limit(limit)
    if before is not None and 0 < before <= MAX_ID:
        query = query.where(Message.id < before)
    return query


pending = Message.processed_at.is_(None)
# What the worker asks for every second must not read the whole table.
Index("ix_message_pending", Message.id, postgresql_where=pending, sqlite_where=pending)


class Process(Base):
    """The heartbeat of one process, written by the process itself."""

    __tablename__ = "process"

    id: Mapped[str] = mapped_column(String(300), primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))
    release: Mapped[str] = mapped_column(String(80))
    last_seen: Mapped[datetime] = mapped_column(UtcDateTime)
    handled: Mapped[int] = mapped_column(Integer)
    per_minute: Mapped[int] = mapped_column(Integer)
