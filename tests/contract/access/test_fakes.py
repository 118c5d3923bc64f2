"""The fakes in memory keep the contracts of the stores in the database."""

import pytest

from spleeter_microservice.access.key_table import KeyTable
from spleeter_microservice.access.rate_limit import RateLimiter
from tests.contract.access.key_store import KeyStoreContract
from tests.contract.access.rate_limiter import RATE, Clock, RateLimiterContract
from tests.support.memory_access import MemoryKeyStore, MemoryRateLimiter


class TestMemoryKeyStore(KeyStoreContract):
    @pytest.fixture
    def store(self) -> KeyTable:
        return MemoryKeyStore()


class TestMemoryRateLimiter(RateLimiterContract):
    @pytest.fixture
    def limiter(self, clock: Clock) -> RateLimiter:
        return MemoryRateLimiter(RATE, clock)
