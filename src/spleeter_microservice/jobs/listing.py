"""Orders of lists of jobs, and cursors into them."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from spleeter_microservice.database.connection import Row
from spleeter_microservice.errors import InvalidCursorError


class Sort(StrEnum):
    """What a list of jobs is sorted by; a minus puts the newest, last, longest or longest kept first."""

    NEWEST = "-created_at"
    OLDEST = "created_at"
    NAME = "name"
    NAME_REVERSED = "-name"
    SHORTEST = "seconds"
    LONGEST = "-seconds"
    ERASED_SOON = "expires_at"
    ERASED_LATE = "-expires_at"

    @property
    def _descends(self) -> bool:
        return self.startswith("-")

    @property
    def _column(self) -> str | None:
        """The column that decides before the id, which grows with time."""
        return _COLUMNS.get(self.removeprefix("-"))

    @property
    def order(self) -> str:
        """The order in SQL."""
        direction = "DESC" if self._descends else "ASC"
        return ", ".join(f"{column} {direction}" for column in (self._column, "id") if column)

    def after(self, cursor: str | None) -> tuple[str, dict[str, Any]]:
        """Return the condition in SQL for what follows a cursor, and its values.

        Raises:
            InvalidCursorError: if the cursor did not come from a page in this order.
        """
        if cursor is None:
            return "", {}
        compare = "<" if self._descends else ">"
        try:
            if self._column is None:
                return f"AND id {compare} %(after)s", {"after": UUID(cursor)}
            sort, number, text = urlsafe_b64decode(cursor).decode().split(" ", 2)
            value = _READ[self._column](text)
            if sort == self:
                condition = f"AND ({self._column}, id) {compare} (%(value)s, %(after)s)"
                return condition, {"value": value, "after": UUID(number)}
        except ValueError:
            pass
        raise InvalidCursorError(
            "The cursor did not come from a page of separations in this order. Leave it out to start with "
            "the first page."
        )

    def cursor(self, row: Row) -> str:
        """Return the cursor after a row."""
        if self._column is None:
            return str(row["id"])
        return urlsafe_b64encode(f"{self} {row['id']} {row[self._column]}".encode()).decode()


_COLUMNS = {"name": "sort_name", "seconds": "audio_seconds", "expires_at": "kept_until"}


def _text(value: str) -> str:
    if "\0" in value:
        raise ValueError("a NUL character")
    return value


_READ: dict[str, Callable[[str], object]] = {
    "sort_name": _text,
    "audio_seconds": float,
    "kept_until": datetime.fromisoformat,
}
