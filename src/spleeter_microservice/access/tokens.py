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
"""Characters of a token; servers accept no longer headers."""

SUBJECT_TENANT = "sub:"
"""Begins the tenants of people without an organisation; no key's tenant can begin so."""

_LEEWAY = 30  # seconds between the clocks
_TYPES = {"jwt", "at+jwt", "application/at+jwt"}  # not those of identity, logout or proof tokens
_MAXIMUM_SUBJECT = 256


class KeySource(Protocol):
    """Gives an issuer's public keys, as ``jwks.Jwks`` does."""

    async def find(self, key_id: str | None, algorithm: Algorithm) -> PublicKey | None:
        """Give a key, or ``None`` when there is no such key.

        Raises:
            TokenKeysUnavailableError: when that cannot be told.
        """


@dataclass(frozen=True)
class TokenRules:
    """Which tokens count.

    Attributes:
        issuer: that ``iss`` must be, to the letter.
        audience: that must be ``aud`` or among it.
        tenant_claim: the claim that names the tenant. With ``sub`` everyone is a tenant of
            their own, called ``sub:`` and the subject, so that no user name can be that of an
            API key's tenant.
        scope_prefix: that the issuer puts before this service's scopes, such as ``spleeter:``.
    """

    issuer: str
    audience: str
    tenant_claim: str = "sub"
    scope_prefix: str = ""

    def __post_init__(self) -> None:
        if not self.issuer or not self.audience or not self.tenant_claim:
            raise ConfigurationError(
                "Tokens are accepted only from a known issuer and for a known audience. Set "
                "SPLEETER_JWT_ISSUER, SPLEETER_JWT_AUDIENCE and SPLEETER_JWT_JWKS_URL."
            )


class TokenVerifier:
    """Tells who shows a token.

    Args:
        rules: which tokens count.
        keys: that they must be signed with.
    """

    def __init__(self, rules: TokenRules, keys: KeySource) -> None:
        self.rules = rules
        self._keys = keys

    async def verify(self, token: str) -> Principal:
        """Give the caller that shows a token.

        The key is chosen by the token's ``kid`` among the issuer's keys and bound to one
        algorithm by its own type; what else the token's header says of keys (``jku``, ``x5u``,
        ``jwk``, ``x5c``) is never looked at.

        Raises:
            InvalidTokenError: with the reason; it may be told to the caller.
            TokenKeysUnavailableError: when the issuer's keys cannot be had.
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
        """Gather the scopes that are ours; others mean something elsewhere."""
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
    """Say what is wrong with a token without repeating anything of it."""
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
