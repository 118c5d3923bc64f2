"""The table of audit actions in docs/security.md."""

from __future__ import annotations

from collections.abc import Iterator

from scripts.markdown import table
from spleeter_microservice.audit.record import Action


def _audit_actions() -> Iterator[str]:
    return table(("Action", "Meaning"), ((f"`{action}`", action.meaning) for action in Action))


TABLES = {"audit-actions": _audit_actions}
