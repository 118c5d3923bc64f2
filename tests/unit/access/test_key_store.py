"""The store in memory keeps the contract of every key store."""

import pytest

from spleeter_microservice.access.key_store import KeyStore, MemoryKeyStore
from tests.contract.access.key_store import KeyStoreContract


class TestMemoryKeyStore(KeyStoreContract):
    @pytest.fixture
    def store(self) -> KeyStore:
        return MemoryKeyStore()
