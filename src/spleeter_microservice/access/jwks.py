"""An issuer's public keys, fetched from its JWKS URL and cached (RFC 7517)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import OKPAlgorithm

from spleeter_microservice.errors import ConfigurationError, TokenKeysUnavailableError

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey | Ed448PublicKey
Keys = dict[tuple[str | None, str], PublicKey]
"""Public keys by their id and each algorithm that they may be used with."""

_ALGORITHMS = {
    "RSA": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    "P-256": ("ES256",),
    "P-384": ("ES384",),
    "P-521": ("ES512",),
    "secp256k1": ("ES256K",),
    "Ed25519": ("EdDSA", "Ed25519"),
    "Ed448": ("EdDSA", "Ed448"),
}
"""Algorithms that fit a key, by its type or its curve; all of them are asymmetric."""

ALGORITHMS = tuple(dict.fromkeys(name for names in _ALGORITHMS.values() for name in names))
"""Algorithms that a token may be signed with."""

for _name in ("Ed25519", "Ed448"):  # names of RFC 9864 for EdDSA, which PyJWT may learn one day
    with contextlib.suppress(ValueError):
        jwt.register_algorithm(_name, OKPAlgorithm())

_MINIMUM_RSA_BITS = 2048
_MAXIMUM_KEYS = 100


@dataclass(frozen=True)
class KeySetCachePolicy:
    """How long keys are cached, and how they are fetched.

    Attributes:
        maximum_age: seconds after which keys are fetched again.
        pause: minimum seconds between two attempts to fetch, whatever unknown keys tokens name.
        stale: seconds that keys stay valid while the issuer cannot be reached.
        timeout: seconds allowed for one attempt as a whole.
        maximum_bytes: size limit of the issuer's response.
    """

    maximum_age: float = 600
    pause: float = 30
    stale: float = 24 * 3600
    timeout: float = 5
    maximum_bytes: int = 256 << 10


class Jwks:
    """Public keys of one issuer.

    Args:
        url: address of its key set, from the configuration and never from a token.
        policy: how long keys are cached.
        client: factory of the HTTP client (default: one that uses the environment's proxies).
        now: monotonic clock, in seconds.

    Raises:
        ConfigurationError: if the environment's proxies cannot be used.
    """

    def __init__(
        self,
        url: str,
        policy: KeySetCachePolicy = KeySetCachePolicy(),
        client: Callable[[], httpx.AsyncClient] = httpx.AsyncClient,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        _check_environment(client)
        self.url = url
        self._policy = policy
        self._client = client
        self._now = now
        self._keys: Keys = {}
        self._fetched_at = -float("inf")
        self._tried_at = -float("inf")
        self._problem = ""
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, key_id: str | None, algorithm: str) -> PublicKey | None:
        """Return the key with an id, or one that has none; without an id, the only key for an algorithm.

        An unknown key id fetches the set again, because issuers change their keys, but no more often than the
        policy allows. The first one after a regular fetch does so at once.

        Raises:
            TokenKeysUnavailableError: if no keys, or only stale ones, are cached and none can be fetched.
        """
        if self._age() > self._policy.maximum_age and not (self._keys and self._is_fetching()):
            await self._refresh()
        key = self._known(key_id, algorithm)
        if key is None:
            await self._refresh()
            key = self._known(key_id, algorithm)
        if self._age() > self._policy.stale:
            raise TokenKeysUnavailableError(
                f"The keys that verify tokens cannot be fetched from {self.url.partition('?')[0]} "
                f"({self._problem}). Use an API key, or try again later.",
                max(1, int(self._policy.pause)),
            )
        return key

    def _age(self) -> float:
        return self._now() - self._fetched_at

    def _known(self, key_id: str | None, algorithm: str) -> PublicKey | None:
        if key_id is not None:
            return self._keys.get((key_id, algorithm)) or self._keys.get((None, algorithm))
        fitting = [key for (_, usable_with), key in self._keys.items() if usable_with == algorithm]
        return fitting[0] if len(fitting) == 1 else None

    async def _refresh(self) -> None:
        """Fetch the keys unless the last attempt was just now; callers share an attempt that is running."""
        if self._fetching is None or not self._is_fetching():
            if self._now() - self._tried_at < self._policy.pause:
                return
            self._tried_at = self._now()
            self._fetching = asyncio.create_task(self._attempt())
        # Shielded: a caller that is cancelled must not stop the attempt, which serves all.
        await asyncio.shield(self._fetching)

    def _is_fetching(self) -> bool:
        return self._fetching is not None and not self._fetching.done()

    async def _attempt(self) -> None:
        regular = self._age() > self._policy.maximum_age
        try:
            async with asyncio.timeout(self._policy.timeout):
                self._keys = parse_keys(await self._fetch())
        except TimeoutError:
            self._problem = f"no answer within {self._policy.timeout:g} s"
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            self._problem = str(error) or type(error).__name__
        else:
            self._fetched_at = self._now()
            if regular:  # keys may change right afterwards
                self._tried_at = -float("inf")

    async def _fetch(self) -> bytes:
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        async with (
            self._client() as client,
            client.stream("GET", self.url, headers=headers, follow_redirects=False) as response,
        ):
            if response.status_code != httpx.codes.OK:
                raise ValueError(f"the server answered {response.status_code}")
            received = bytearray()
            async for chunk in response.aiter_raw():
                received += chunk
                if len(received) > self._policy.maximum_bytes:
                    raise ValueError(f"it has more than {self._policy.maximum_bytes} bytes")
            return bytes(received)


def parse_keys(document: bytes) -> Keys:
    """Return the keys of a key set that can verify a signature, and should.

    Symmetric and private keys, keys for encryption, other algorithms and curves, and RSA keys below 2048 bits
    are ignored. A key that names its algorithm serves only that one.

    Raises:
        ValueError: if the document is not a key set, or has no usable key.
    """
    try:
        entries = json.loads(document)["keys"]
    except (ValueError, TypeError, KeyError, RecursionError):
        entries = None
    if not isinstance(entries, list) or len(entries) > _MAXIMUM_KEYS:
        raise ValueError(f"it is not a JSON Web Key Set of up to {_MAXIMUM_KEYS} keys")
    keys: Keys = {}
    for entry in entries:
        algorithms = _algorithms(entry)
        key = _public_key(entry, algorithms[0]) if algorithms else None
        if key is not None:
            named = entry.get("alg")
            keys.update({(entry.get("kid"), name): key for name in algorithms if named in (None, name)})
    if not keys:
        raise ValueError("it has no public key that can verify a signature")
    return keys


def _algorithms(entry: Any) -> tuple[str, ...]:
    """Return the algorithms that fit an entry, if it is for signatures."""
    if not isinstance(entry, dict) or not isinstance(entry.get("kid"), str | None):
        return ()
    operations = entry.get("key_ops", ["verify"])
    if entry.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        return ()
    return _ALGORITHMS.get(str(entry.get("kty") if entry.get("kty") == "RSA" else entry.get("crv")), ())


def _public_key(entry: dict[str, Any], algorithm: str) -> PublicKey | None:
    try:
        key = jwt.PyJWK(entry, algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    if isinstance(key, RSAPublicKey) and key.key_size < _MINIMUM_RSA_BITS:
        return None
    return key if isinstance(key, PublicKey) else None


def _check_environment(client: Callable[[], httpx.AsyncClient]) -> None:
    """Raise ``ConfigurationError`` unless a client can be made with the environment's proxies."""
    try:
        client()
    except (ValueError, ImportError, OSError, httpx.InvalidURL):
        # Without the error, whose text may contain the password of a proxy.
        raise ConfigurationError(
            "A proxy (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY) or the file in SSL_CERT_FILE cannot be used. Write "
            "proxies as http://HOST:PORT, https://…, socks5://… or socks5h://…, and name an existing file."
        ) from None
