"""Failures of the object store, as the errors of this program."""

from __future__ import annotations

import re

from spleeter_microservice import errors
from spleeter_microservice.storage.backends import Access

# Only some refusals have a class of their own: those of lists and of deletions do not.
_REFUSED = re.compile(r"403 Forbidden|401 Unauthorized|AccessDenied|(?:os error|Errno) (?:1|13|30)\b")
_FULL = re.compile(
    r"\(os error (28|122|27)\)|507 Insufficient Storage|StorageFull|QuotaExceeded|cap exceeded"
)
# The cause of a failed connection is only in the error's details: UnknownIssuer, "Connection refused".
_CAUSE = re.compile(r'(?:message|error): "(.+)"|InvalidCertificate\(\s*(\w+)')


def failure(
    error: Exception, name: str, access: Access, right: str | None, late: str | None
) -> errors.StorageError:
    """Return the error that says why a store failed.

    Args:
        error: what its client raised.
        name: name of the store.
        access: what was attempted.
        right: what the credentials need for that, if it is a bucket.
        late: reason if the store did not answer in time.
    """
    text = str(error)
    reason = late or text.partition("\n")[0][:300]
    if _FULL.search(text):
        return errors.StorageFullError(
            f"The object store {name} has no space left ({reason}). Free some, or lower "
            "SPLEETER_RETENTION_HOURS."
        )
    if _REFUSED.search(text):
        return errors.StorageRefusedError(
            f"The object store {name} refuses to {access} objects ({reason}). Check its credentials; they "
            f"need {right or 'access to the directory'}."
        )
    if cause := _CAUSE.search(text):
        reason += f": {cause[1] or cause[2]}"
    return errors.StorageUnavailableError(f"The object store {name} is unavailable: {reason}")


def unanswered(seconds: float | None) -> str:
    """Return the reason of a failure for want of an answer."""
    return f"it did not answer within {seconds:g} s"
