"""What docs/security.md says in numbers and names is what the code does."""

from pathlib import Path

import pytest

from spleeter_microservice.security import key_text, keys, tokens
from spleeter_microservice.security.addresses import AddressGuard
from spleeter_microservice.security.jwks import Freshness
from spleeter_microservice.security.limits import MemoryRateLimiter, Rate
from spleeter_microservice.security.outgoing import Bounds
from spleeter_microservice.security.principal import Scope

ROOT = Path(__file__).parent.parent.parent
TEXT = " ".join((ROOT / "docs" / "security.md").read_text(encoding="utf-8").split())


@pytest.mark.parametrize(
    "promise",
    [
        f"{key_text.ENTROPY_BITS} random bits",
        f"at least {keys.MINIMUM_LENGTH} characters, {keys.MINIMUM_DISTINCT} of them different",
        f"scopes {', '.join(f'`{scope}`' for scope in Scope)}",
        f"only {' and '.join(tokens.ALGORITHMS)}",
        f"at most once in {Freshness().pause} s",
        f"within {Freshness().timeout} s and {Freshness().maximum_bytes >> 10} KiB",
        f"at most {Freshness().maximum_age // 60} minutes more",
        f"of {MemoryRateLimiter(Rate(1)).maximum_names:,} names",
        f"at most {Bounds(1).redirects}; none from https to http",
        f"ports {' and '.join(map(str, sorted(AddressGuard().ports)))} unless configured",
        f"threads of their own, and {AddressGuard().patience} s",
    ],
)
def test_a_number_that_is_promised_is_the_one_in_force(promise: str) -> None:
    assert promise in TEXT
