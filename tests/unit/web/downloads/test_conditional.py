"""Ranges and conditions select the right part of a file."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spleeter_microservice.web.downloads.conditional import is_known, requested_part

ETAG = '"abc"'
positions = st.integers(0, 10**6)


def part(header: str | None, size: int = 1000, if_range: str | None = None) -> range | None:
    return requested_part(header, if_range, ETAG, size)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-499", range(0, 500)),
        ("bytes=500-", range(500, 1000)),
        ("bytes=-200", range(800, 1000)),
        ("bytes=-2000", range(0, 1000)),
        ("bytes=999-5000", range(999, 1000)),
        ("Bytes= 0-0 ", range(0, 1)),
    ],
)
def test_a_range_selects_its_bytes(header: str, expected: range) -> None:
    assert part(header) == expected


@pytest.mark.parametrize("header", ["bytes=1000-", "bytes=1000-1001", "bytes=-0"])
def test_a_range_without_bytes_is_empty(header: str) -> None:
    found = part(header)
    assert found is not None
    assert not found


@pytest.mark.parametrize(
    "header",
    [
        None, "", "bytes", "bytes=", "bytes=-", "bytes=5-4", "bytes=a-b", "lines=0-5", "bytes=0-1,5-6",
        "bytes=+1-2", "bytes=\u0661-\u0662", "bytes=1-2-3", "bytes=" + "9" * 5000 + "-",
    ],
)  # fmt: skip
def test_anything_but_a_single_range_is_ignored(header: str | None) -> None:
    assert part(header) is None


@pytest.mark.parametrize("header", ["bytes=0-", "bytes=0-0", "bytes=-1"])
def test_an_empty_file_has_no_ranges(header: str) -> None:
    found = part(header, size=0)
    assert found is not None
    assert not found


def test_a_range_of_another_version_is_ignored() -> None:
    assert part("bytes=0-1", if_range=ETAG) == range(0, 2)
    for other in ('"other"', f"W/{ETAG}", "Sat, 29 Oct 1994 19:43:31 GMT", ""):
        assert part("bytes=0-1", if_range=other) is None


@given(positions, positions, positions)
def test_a_range_equals_a_slice(first: int, last: int, size: int) -> None:
    found = part(f"bytes={first}-{last}", size)
    if last < first:
        assert found is None
    else:
        assert found is not None
        assert found == range(size)[first : last + 1]


@given(positions, positions)
def test_a_suffix_range_equals_a_slice(count: int, size: int) -> None:
    found = part(f"bytes=-{count}", size)
    assert found is not None
    assert found == range(size)[max(0, size - count) :]
    assert found.stop == size


@given(st.text() | st.from_regex(r"bytes=[0-9,\- ]*", fullmatch=True), positions)
def test_no_header_selects_bytes_beyond_the_file(header: str, size: int) -> None:
    found = part(header, size)
    assert found is None or 0 <= found.start <= found.stop <= size


@pytest.mark.parametrize("header", [ETAG, f"W/{ETAG}", f'"x", {ETAG}', f'W/"x,",{ETAG}', "*", " * "])
def test_a_client_that_has_the_file_is_recognised(header: str) -> None:
    assert is_known(header, ETAG)


@pytest.mark.parametrize("header", [None, "", "abc", '"ab"', '"abc', "**", '"x"'])
def test_a_client_without_the_file_is_recognised(header: str | None) -> None:
    assert not is_known(header, ETAG)


@given(st.text())
def test_no_header_matches_a_tag_that_it_does_not_contain(header: str) -> None:
    assert is_known(header, ETAG) <= (ETAG in header or header.strip() == "*")
