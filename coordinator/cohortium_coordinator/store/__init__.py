"""What the coordinator must never forget, in one SQLite file."""

from cohortium_coordinator.store.sqlite import Message, SqliteStore

__all__ = ["Message", "SqliteStore"]
