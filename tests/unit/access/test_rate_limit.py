"""Rates have limits, and clients are counted by what they cannot choose."""

import pytest

from spleeter_microservice.access.rate_limit import client_name


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "unknown"),
        ("", "unknown"),
    ],
)
def test_a_client_is_counted_by_what_it_cannot_choose(address: str, name: str) -> None:
    assert client_name(address) == name
