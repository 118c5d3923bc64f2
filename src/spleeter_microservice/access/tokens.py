"""Bearer tokens: JSON Web Tokens of one issuer, signed with RS256 or ES256 (RFC 7519, 8725, 9068)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol, cast

import jwt

from spleeter_microservice.access.jwks import Algorithm, PublicKey
from spleeter_microservice.access.principal import Principal, Scope, is_tenant
from spleeter_microservice.errors import ConfigurationError, InvalidTokenError

ALGORITHMS = ("RS256", "ES256")
MAXIMUM_LENGTH = 16_384
"""Characters that a token may have; servers refuse longer headers."""

SUBJECT_TENANT = "sub:"
"""Prefix of the tenants of people without an organisation; no key's tenant can have it."""

_LEEWAY = 30  # seconds by which the clocks may differ
_TYPES = {"jwt", "at+jwt", "application/at+jwt"}  # no identity, logout or proof tokens
_MAXIMUM_SUBJECT = 256


class KeySource(Protocol):
    """A source of an issuer's public keys, such as ``jwks.Jwks``."""

    async def find(self, key_id: str | None, algorithm: Algorithm) -> PublicKey | None:
        """Return a key, or ``None`` if the issuer has no such key.

        Raises:
            TokenKeysUnavailableError: if the issuer's keys are not available.
        """


@dataclass(frozen=True)
class TokenRules:
    """Which tokens are accepted.

    Attributes:
        issuer: what ``iss`` must equal exactly.
        audience: what ``aud`` must equal or contain.
        tenant_claim: claim that names the tenant. With ``sub``, each user is a separate tenant, called
            ``sub:`` and the subject, so that no user name can equal an API key's tenant.
        scope_prefix: what the issuer puts before this service's scopes, such as ``spleeter:``.
    """

    issuer: str
    audience: str
    tenant_claim: str = "sub"
    scope_prefix: str = ""

    def __post_init__(self) -> None:
        if not self.issuer or not self.audience or not self.tenant_claim:
            raise ConfigurationError(
                "The rules for tokens lack an issuer, an audience or a tenant claim. Set "
                "SPLEETER_JWT_ISSUER, SPLEETER_JWT_AUDIENCE and SPLEETER_JWT_JWKS_URL."
            )


class TokenVerifier:
    """A verifier of bearer tokens.

    Args:
        rules: which tokens are accepted.
        keys: source of the issuer's keys.
    """

    def __init__(self, rules: TokenRules, keys: KeySource) -> None:
        self.rules = rules
        self._keys = keys

    async def verify(self, token: str) -> Principal:
        """Return the caller who presents a token.

        The key is chosen by the token's ``kid`` among the issuer's keys, and its own type binds it to one
        algorithm. What else the token's header says about keys (``jku``, ``x5u``, ``jwk``, ``x5c``) is
        ignored.

        Raises:
            InvalidTokenError: if the token is not accepted; the reason may be shown to the caller.
            TokenKeysUnavailableError: if the issuer's keys are not available.
        """
        header = _header(token)
        algorithm = _algorithm(header)
        key = await self._keys.find(header.get("kid"), algorithm)
        if key is None:
            raise _refused("it is not signed with a key of the issuer", "unknown key")
        return self._principal(self._claims(token, key, algorithm))

    def _claims(self, token: str, key: PublicKey, algorithm: Algorithm) -> dict[str, Any]:
        try:
            return jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self.rules.audience,
                issuer=self.rules.issuer,
                leeway=_LEEWAY,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.PyJWTError as error:
            raise _refused(_words(error), _words(error)) from error
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise _refused("it cannot be read", "malformed") from error

    def _principal(self, claims: dict[str, Any]) -> Principal:
        subject = claims["sub"]
        if not 0 < len(subject) <= _MAXIMUM_SUBJECT or not subject.isprintable():
            raise _refused("its subject is not printable", "subject")
        return Principal(self._tenant(claims), self._scopes(claims), f"token:{subject}")

    def _tenant(self, claims: dict[str, Any]) -> str:
        name, claim = claims.get(self.rules.tenant_claim), self.rules.tenant_claim
        if not isinstance(name, str) or not is_tenant(name):
            raise _refused(f"its claim '{claim}' does not name a tenant", "tenant")
        return SUBJECT_TENANT + name if claim == "sub" else name

    def _scopes(self, claims: dict[str, Any]) -> frozenset[Scope]:
        """Return the scopes that are ours; the others belong to other services."""
        granted = set[str]()
        for claim in ("scope", "scp", "permissions"):
            granted.update(_names(claims.get(claim)))
        prefix = self.rules.scope_prefix
        return frozenset(scope for scope in Scope if prefix + scope in granted)


def _header(token: str) -> dict[str, Any]:
    if not token or len(token) > MAXIMUM_LENGTH or not token.isascii():
        raise _refused("it is not a token", "malformed")
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
        raise _refused("it is not a token", "malformed") from error
    if not isinstance(header.get("kid"), str | None):
        raise _refused("it is not a token", "malformed")
    return header


def _algorithm(header: dict[str, Any]) -> Algorithm:
    algorithm, kind = header.get("alg"), header.get("typ", "JWT")
    if algorithm not in ALGORITHMS:
        raise _refused(f"it must be signed with one of {', '.join(ALGORITHMS)}", "algorithm")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise _refused("it is not an access token", "type")
    if "crit" in header or "b64" in header:
        raise _refused("it asks for extensions that this service does not know", "extensions")
    return cast(Algorithm, algorithm)


def _names(value: object) -> Iterable[str]:
    if isinstance(value, str):
        return value.split()
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []


def _words(error: jwt.PyJWTError) -> str:
    """Return what is wrong with a token, without quoting it."""
    words: dict[type[jwt.PyJWTError], str] = {
        jwt.ExpiredSignatureError: "it has expired",
        jwt.ImmatureSignatureError: "it is not valid yet",
        jwt.InvalidAudienceError: "it is for another audience",
        jwt.InvalidIssuerError: "it is from another issuer",
        jwt.MissingRequiredClaimError: "it lacks one of the claims exp, iss, aud, sub",
        jwt.InvalidSignatureError: "its signature is wrong",
    }
    return words.get(type(error), "it cannot be read")


def _refused(why: str, reason: str) -> InvalidTokenError:
    return InvalidTokenError(
        f"The token is not accepted: {why}. Get a new one from its issuer.", reason=reason
    )
