"""Rates have limits, and clients are counted by what they cannot choose."""

import pytest

from spleeter_microservice.access.rate_limit import Rate, client_name
from spleeter_microservice.errors import ConfigurationError


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


def test_a_limit_or_a_period_of_zero_is_refused() -> None:
    for limit, period in ((0, 60.0), (1, 0.0)):
        with pytest.raises(ConfigurationError, match="at least 1"):
            Rate(limit, period)
