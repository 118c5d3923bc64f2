"""A signed address is valid for one file, one tenant and a while."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs
from uuid import UUID

import pytest

from spleeter_microservice.access.signed_urls import SignedUrls
from spleeter_microservice.errors import ExpiredUrlError, SignedUrlError

JOB, OTHER = UUID(int=1), UUID(int=2)
OLD, NEW = b"an older key of 32 characters...", b"a newer key of 32 characters...."


def parts(signing: SignedUrls) -> tuple[int, str]:
    query = parse_qs(signing.query("ann", JOB, "vocals"), strict_parsing=True)
    assert query["tenant"] == ["ann"]
    return int(query["expires"][0]), query["signature"][0]


def test_an_address_is_valid_for_its_lifetime_wherever_the_key_is_known() -> None:
    expires, signature = parts(SignedUrls([OLD]))
    assert 895 < expires - datetime.now(UTC).timestamp() <= 900
    SignedUrls([NEW, OLD]).verify("ann", JOB, "vocals", expires, signature)
    with pytest.raises(SignedUrlError):
        SignedUrls([NEW]).verify("ann", JOB, "vocals", expires, signature)
    with pytest.raises(SignedUrlError):
        SignedUrls().verify("ann", JOB, "vocals", expires, signature)


@pytest.mark.parametrize(
    ("tenant", "job", "name", "later", "end"),
    [
        ("bob", JOB, "vocals", 0, ""),
        ("ann", OTHER, "vocals", 0, ""),
        ("ann", JOB, "drums", 0, ""),
        ("ann", JOB, "vocals", 1, ""),
        ("ann", JOB, "vocals", 0, "A"),
        ("ann", JOB, "vocals", 0, "ü\ud800"),
        ("\ud800", JOB, "vocals", 0, ""),
    ],
)
def test_a_changed_address_is_not_valid(tenant: str, job: UUID, name: str, later: int, end: str) -> None:
    expires, signature = parts(SignedUrls([OLD]))
    with pytest.raises(SignedUrlError) as caught:
        SignedUrls([OLD]).verify(tenant, job, name, expires + later, signature + end)
    assert caught.type is SignedUrlError


def test_an_expired_address_is_not_valid() -> None:
    signing = SignedUrls([OLD], lifetime=timedelta(seconds=-1))
    with pytest.raises(ExpiredUrlError, match="expired"):
        signing.verify("ann", JOB, "vocals", *parts(signing))
