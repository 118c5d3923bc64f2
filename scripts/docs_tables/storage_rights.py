"""The table of the rights that a bucket's credentials need, in docs/operations.md."""

from __future__ import annotations

from collections.abc import Iterator

from scripts.markdown import table
from spleeter_microservice.storage.backends import RIGHTS


def _storage_rights() -> Iterator[str]:
    stores = {"S3": "s3", "Google Cloud Storage": "gs", "Azure": "az"}
    rows = (
        (
            f"{access}, optional" if access == "list" else access,
            *(f"`{RIGHTS[key][access]}`" for key in stores.values()),
        )
        for access in RIGHTS["s3"]
    )
    return table(("To", *stores), rows)


TABLES = {"storage-rights": _storage_rights}
