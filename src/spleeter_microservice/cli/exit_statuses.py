"""Exit statuses that no single error has; docs/errors.md lists the others."""

SOME_FAILED = 3
"""Some of several files failed."""
