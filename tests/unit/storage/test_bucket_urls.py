"""Callers name only what the operator lists, however they write it."""

from __future__ import annotations

import pytest

from spleeter_microservice.errors import ForbiddenAddressError
from spleeter_microservice.storage.bucket_urls import BucketGrant, split_bucket_url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("s3://songs", ("s3://songs", "")),
        ("gs://songs/", ("gs://songs", "")),
        ("az://songs/My song #1 %20?.mp3", ("az://songs", "My song #1 %20?.mp3")),
        ("s3://songs/ü/", ("s3://songs", "ü")),
    ],
)
def test_a_url_is_read_as_the_tools_of_the_clouds_read_it(url: str, expected: tuple[str, str]) -> None:
    assert split_bucket_url(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "", "songs/a", "s3:/songs/a", "s3://", "s3:///a", "http://songs/a", "S3://songs/a", "s3a://songs/a",
        "s3://songs/../a", "s3://songs/a/./b", "s3://songs//a", "s3://songs/a//", "s3://songs/a\n",
        "s3://songs/a\0b", "s3://me@songs/a", "s3://songs:80/a", "s3://ü/a", "s3://songs/" + "a" * 901,
        "s3://songs/\ud800",
    ],
)  # fmt: skip
def test_a_malformed_url_is_refused(url: str) -> None:
    with pytest.raises(ForbiddenAddressError, match="s3://bucket/folder"):
        split_bucket_url(url)


@pytest.mark.parametrize(
    ("grant", "tenant", "url", "admitted"),
    [
        ("s3://songs", "ann", "s3://songs/a", True),
        ("s3://songs", "ann", "s3://songs", True),
        ("s3://songs", "ann", "s3://songs2/a", False),
        ("s3://songs", "ann", "gs://songs/a", False),
        ("s3://songs/in/", "ann", "s3://songs/in/a", True),
        ("s3://songs/in", "ann", "s3://songs/in", True),
        ("s3://songs/in", "ann", "s3://songs/inner/a", False),
        ("s3://songs/in", "ann", "s3://songs", False),
        ("ann=s3://songs", "ann", "s3://songs/a", True),
        ("ann=s3://songs", "bob", "s3://songs/a", False),
        ("sub:auth0%7C1=s3://songs/a=1", "sub:auth0%7C1", "s3://songs/a=1/b", True),
        ("s3://songs/{tenant}", "ann", "s3://songs/ann/a", True),
        ("s3://songs/{tenant}", "ann", "s3://songs/bob/a", False),
        ("s3://songs/{tenant}", "ann", "s3://songs/{tenant}/a", False),
        ("s3://songs/{tenant}/in", "ann", "s3://songs/ann/out", False),
    ],
)
def test_a_tenant_may_name_what_is_listed_for_it(grant: str, tenant: str, url: str, admitted: bool) -> None:
    assert BucketGrant.parse(grant).admits(tenant, *split_bucket_url(url)) == admitted


@pytest.mark.parametrize("text", ["songs", "https://songs/a", "ann=", "ann=bob=s3://songs", "=s3://songs"])
def test_a_grant_that_names_no_bucket_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="Write buckets as in"):
        BucketGrant.parse(text)


@pytest.mark.parametrize(
    ("grant", "store", "overlapping"),
    [
        ("s3://songs", "s3://songs/service", True),
        ("s3://songs/service/x", "s3a://songs/service/", True),
        ("s3://songs/{tenant}", "s3://songs/service", True),
        ("az://songs", "abfss://songs@account.dfs.core.windows.net/service", True),
        ("s3://songs/callers", "s3://songs/service", False),
        ("s3://songs", "gs://songs", False),
        ("s3://songs", "/var/lib/objects", False),
        ("s3://songs", "", False),
    ],
)
def test_the_place_of_the_services_own_objects_is_recognised(
    grant: str, store: str, overlapping: bool
) -> None:
    assert BucketGrant.parse(grant).overlaps(store) == overlapping
