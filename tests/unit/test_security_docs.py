"""What docs/security.md says in numbers and names is what the code does."""

from pathlib import Path

import pytest

from spleeter_microservice.access import key_format, keys
from spleeter_microservice.access.jwks import ALGORITHMS, KeySetCachePolicy
from spleeter_microservice.access.principal import Scope
from spleeter_microservice.bootstrap.api import api_config
from spleeter_microservice.outgoing.client import ResponseLimits
from spleeter_microservice.outgoing.url_policy import UrlPolicy
from spleeter_microservice.settings import Settings
from spleeter_microservice.web.middleware.body_limit import BodyLimits
from spleeter_microservice.web.server import HEADER_BYTES, HEADER_FIELDS, HEADER_SECONDS
from spleeter_microservice.web.submit.multipart import MAXIMUM_FIELD_BYTES, MAXIMUM_PARTS

ROOT = Path(__file__).parents[2]
TEXT = " ".join((ROOT / "docs" / "security.md").read_text(encoding="utf-8").split())


@pytest.mark.parametrize(
    "promise",
    [
        f"{key_format.ENTROPY_BITS} random bits",
        f"needs at least {keys.MINIMUM_LENGTH} characters",
        f"below {keys.SAFE_LENGTH} characters or {keys.SAFE_DISTINCT} different ones",
        f"scopes {', '.join(f'`{scope}`' for scope in Scope)}",
        f"only {', '.join(ALGORITHMS)}",
        f"at most once in {KeySetCachePolicy().pause} s",
        f"within {KeySetCachePolicy().timeout} s and {KeySetCachePolicy().maximum_bytes >> 10} KiB",
        f"at most {KeySetCachePolicy().maximum_age // 60} minutes more",
        f"at most {ResponseLimits(1).redirects}; none from https to http",
        f"ports {' and '.join(map(str, sorted(UrlPolicy().ports)))} unless configured",
        f"threads of their own, and {UrlPolicy().timeout} s",
        f"{HEADER_BYTES >> 10} KiB, {HEADER_FIELDS} headers and {HEADER_SECONDS:g} s",
        f"all others {api_config(Settings()).max_body_bytes >> 20} MiB",
        f"after {api_config(Settings()).body_timeout:g} s without a byte, or below "
        f"{int(BodyLimits(0, 0).rate) >> 10} KiB/s",
        f"at most {MAXIMUM_PARTS} parts and {MAXIMUM_FIELD_BYTES >> 10} KiB of fields",
    ],
)
def test_a_number_that_is_promised_is_the_one_in_force(promise: str) -> None:
    assert promise in TEXT
