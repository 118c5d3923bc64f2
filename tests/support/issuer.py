"""A token issuer: real keys, and the key set that it publishes."""

import base64
import json
import time
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

ISSUER = "https://issuer.example"
AUDIENCE = "spleeter"
PrivateKey = (
    rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey
)
_CURVES: dict[str, ec.EllipticCurve] = {
    "ES256": ec.SECP256R1(),
    "ES384": ec.SECP384R1(),
    "ES512": ec.SECP521R1(),
    "ES256K": ec.SECP256K1(),
}


@dataclass(frozen=True)
class Signer:
    """A key pair of an issuer."""

    kid: str
    algorithm: str
    private: PrivateKey

    @classmethod
    def rsa(cls, kid: str, bits: int = 2048, algorithm: str = "RS256") -> "Signer":
        return cls(kid, algorithm, rsa.generate_private_key(65537, bits))

    @classmethod
    def ec(cls, kid: str, algorithm: str = "ES256") -> "Signer":
        return cls(kid, algorithm, ec.generate_private_key(_CURVES[algorithm]))

    @property
    def pem(self) -> bytes:
        """The public key as a JWK, as issuers publish it."""
        return self.private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    @property
    def _library(self) -> Any:
        return jwt.get_algorithm_by_name(self.algorithm)

    def jwk(self, **fields: Any) -> dict[str, Any]:
        public: dict[str, Any] = self._library.to_jwk(self.private.public_key(), as_dict=True)
        public.pop("key_ops", None)
        every = {**public, "kid": self.kid, "use": "sig", "alg": self.algorithm, **fields}
        return {name: value for name, value in every.items() if value is not None}

    def private_jwk(self) -> dict[str, Any]:
        """The private key as a JWK, which no issuer may publish."""
        return {**self._library.to_jwk(self.private, as_dict=True), "kid": self.kid, "key_ops": ["verify"]}

    def token(self, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """Sign the usual claims and header, with some fields replaced, or omitted if None."""
        headers = {"typ": "JWT", "alg": self.algorithm, "kid": self.kid, **(header or {})}
        present = {name: value for name, value in headers.items() if value is not None}
        # By hand: the library refuses to make the tokens that tests need.
        signed = f"{encoded(present)}.{encoded(usual(**claims))}"
        return f"{signed}.{encoded(self._library.sign(signed.encode(), self.private))}"


@dataclass
class KeySet:
    """The key set that an issuer publishes."""

    entries: list[dict[str, Any]] = field(default_factory=list)

    def document(self) -> bytes:
        return json.dumps({"keys": self.entries}).encode()


def usual(**claims: Any) -> dict[str, Any]:
    now = int(time.time())
    every = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "someone",
        "iat": now,
        "exp": now + 300,
        "scope": "read separate",
        **claims,
    }
    return {name: value for name, value in every.items() if value is not None}


def encoded(part: object) -> str:
    data = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
