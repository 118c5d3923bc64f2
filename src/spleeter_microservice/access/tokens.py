"""Bearer tokens: JSON Web Tokens with an asymmetric signature (RFC 7519, 8725, 9068).

Issuers put the audience and the scopes of a token into different claims; docs/identity.md describes them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

import jwt

from spleeter_microservice.access.jwks import ALGORITHMS, Jwks
from spleeter_microservice.access.principal import Principal, Scope
from spleeter_microservice.access.token_rules import TokenRules
from spleeter_microservice.errors import InvalidTokenError, SpleeterError, TokenKeysUnavailableError

MAXIMUM_LENGTH = 16_384
"""Characters that a token may have; servers refuse longer headers."""

SUBJECT_TENANT = "sub:"
"""Prefix of the tenants of callers without an organisation; no key's tenant can have it."""

_LEEWAY = 30  # seconds by which the clocks may differ
_TYPES = {"jwt", "at+jwt"}  # no identity, logout or proof tokens
_REQUIRED = {"exp", "iss", "sub"}  # and an audience
_LACKING = "it lacks one of the claims exp, iss, aud, sub"
_NO_CLAIMS: Any = {f"verify_{claim}": False for claim in ("exp", "nbf", "iat", "iss", "aud", "sub", "jti")}
_MAXIMUM_NAME = 256
_SHOWN = 100  # characters of a value in the log


@dataclass(frozen=True)
class Finding:
    """What the check of one part of a token found.

    Attributes:
        part: name of the header field or the claim, or ``signature``.
        value: what the token has there.
        error: why the token is refused; None if this part is as it should be.
    """

    part: str
    value: Any = None
    error: SpleeterError | None = None


@dataclass(frozen=True)
class Examination:
    """Everything that was found out about a token.

    Attributes:
        findings: what the checks found, in the order in which they count.
        claims: the token's claims, which are true only if no finding has an error.
        principal: caller who presents the token; None if it is refused.
    """

    findings: tuple[Finding, ...]
    claims: Mapping[str, Any]
    principal: Principal | None

    @property
    def error(self) -> SpleeterError | None:
        """The first reason for refusing the token."""
        return next((finding.error for finding in self.findings if finding.error), None)


class TokenVerifier:
    """A verifier of bearer tokens.

    Args:
        rules: which tokens are accepted.
        keys: the issuer's keys.
    """

    def __init__(self, rules: TokenRules, keys: Jwks) -> None:
        self.rules = rules
        self._keys = keys

    async def verify(self, token: str) -> Principal:
        """Return the caller who presents a token.

        Raises:
            InvalidTokenError: if the token is not accepted; the message may be shown to the caller.
            TokenKeysUnavailableError: if the issuer's keys are not available.
        """
        examination = await self.examine(token)
        if examination.error:
            raise examination.error
        assert examination.principal
        return examination.principal

    async def examine(self, token: str) -> Examination:
        """Check all parts of a token, even after one has failed.

        The key is chosen by the token's ``kid`` among the issuer's keys, and its own type binds it to its
        algorithms. What else the token's header says about keys (``jku``, ``x5u``, ``jwk``, ``x5c``) is
        ignored.
        """
        try:
            header, claims = _parts(token)
        except InvalidTokenError as error:
            return Examination((Finding("token", error=error),), {}, None)
        findings = [*_header_findings(header)]
        if not any(finding.error for finding in findings):
            findings.append(await self._signature(token, header.get("kid"), header["alg"]))
        findings += self._claim_findings(token, claims)
        accepted = not any(finding.error for finding in findings)
        return Examination(tuple(findings), claims, self._principal(claims) if accepted else None)

    async def _signature(self, token: str, key_id: str | None, algorithm: str) -> Finding:
        try:
            key = await self._keys.find(key_id, algorithm)
        except TokenKeysUnavailableError as error:
            return Finding("signature", error=error)
        if key is None:
            words = "it is not signed with a key of the issuer"
            return _checked("kid", key_id, words, f"the issuer has no such key for {algorithm}")
        try:
            jwt.decode(token, key, algorithms=[algorithm], options=_NO_CLAIMS)
        except (jwt.PyJWTError, ValueError, TypeError):
            return Finding("signature", error=_refused("signature", "its signature is wrong", "is wrong"))
        return Finding("signature")

    def _claim_findings(self, token: str, claims: Mapping[str, Any]) -> Iterator[Finding]:
        for claim in ("exp", "nbf", "iat", "iss"):
            if claim in _REQUIRED or claim in claims:
                yield self._standard(token, claims, claim)
        yield self._audience(claims)
        # Amazon Cognito and Keycloak say in a claim what other issuers say in the header's ``typ``.
        for claim, kinds in (("token_use", {"access"}), ("typ", {"bearer", *_TYPES})):
            if claim in claims:
                wrong = str(claims[claim]).lower() not in kinds
                yield _checked(claim, claims[claim], wrong and "it is not an access token")
        subject = self._standard(token, claims, "sub")
        if not subject.error:
            wrong = not _is_name(claims["sub"])
            subject = _checked(
                "sub",
                claims["sub"],
                wrong and f"its subject is not 1 to {_MAXIMUM_NAME} printable characters",
            )
        yield subject
        claim = self.rules.tenant_claim
        name = _trusted(claims, claim)
        wrong = not _is_name(name) or name.startswith(".")
        if claim != "sub" or (wrong and not subject.error):
            words = f"its claim '{claim}' does not name a tenant"
            yield _checked(claim, claims.get(claim), wrong and words, "not a tenant's name")

    def _standard(self, token: str, claims: Mapping[str, Any], claim: str) -> Finding:
        """Return what the library says about one claim, whatever it says about the others."""
        options: Any = _NO_CLAIMS | {
            "verify_signature": False,
            f"verify_{claim}": True,
            "require": [claim] if claim in _REQUIRED else [],
        }
        words, problem = "", ""
        try:
            jwt.decode(token, options=options, issuer=self.rules.issuers, leeway=_LEEWAY)
        except jwt.MissingRequiredClaimError:
            words = _LACKING
        except jwt.ExpiredSignatureError:
            words, problem = "it has expired", "in the past"
        except jwt.ImmatureSignatureError:
            words, problem = "it is not valid yet", "in the future"
        except jwt.InvalidIssuerError:
            words, problem = "it is from another issuer", f"not {' or '.join(self.rules.issuers)}"
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError):
            words, problem = "it cannot be read", "of the wrong type"
        return _checked(claim, claims.get(claim), words, problem)

    def _audience(self, claims: Mapping[str, Any]) -> Finding:
        claim = "aud"
        if claims.get("aud") is None and claims.get("token_use") == "access":
            claim = "client_id"  # Amazon Cognito's access tokens have no audience
        value = claims.get(claim)
        given = value if isinstance(value, list) else [value]
        words = "it is for another audience"
        if value is None:
            words = _LACKING
        elif all(isinstance(name, str) for name in given) and not set(given).isdisjoint(self.rules.audiences):
            words = ""
        return _checked(claim, value, words, f"not {' or '.join(self.rules.audiences)}")

    def _principal(self, claims: Mapping[str, Any]) -> Principal:
        return Principal(self._tenant(claims), self._scopes(claims), f"token:{claims['sub']}")

    def _tenant(self, claims: Mapping[str, Any]) -> str:
        """Return the tenant's name, in which no two subjects and no two issuers can meet."""
        claim = self.rules.tenant_claim
        own = claim == "sub"
        name = quote(claims[claim], safe="@|+:" if own else "@|+")
        name = SUBJECT_TENANT + name if own else name
        if len(self.rules.issuers) == 1:
            return name
        return f"iss-{hashlib.sha256(claims['iss'].encode()).hexdigest()[:16]}:{name}"

    def _scopes(self, claims: Mapping[str, Any]) -> frozenset[Scope]:
        """Return the scopes that are ours; the others belong to other services."""
        named = set[str]()
        for claim in ("scope", "scp", "permissions", "roles"):
            named.update(_names(claims.get(claim)))
        named.update(_names(_inside(claims, "realm_access", "roles")))
        for audience in self.rules.audiences:  # Keycloak's roles of this service, not of others
            named.update(_names(_inside(claims, "resource_access", audience, "roles")))
        scopes = {scope for scope in Scope if self.rules.scope_prefix + scope in named}
        for grant in self.rules.grants:
            if all(_has(claims, claim, value) for claim, value in grant.claims):
                scopes |= grant.scopes
        return frozenset(scopes)


def _parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the header and the claims of a token, neither of which is verified."""
    words = "it is not a JSON Web Token"
    if len(token) > MAXIMUM_LENGTH:
        words = f"it is longer than {MAXIMUM_LENGTH} characters"
    elif token.count(".") == 4:  # signed ones have three parts
        words = "it is encrypted, and only signed tokens can be read"
    elif token.isascii():
        try:
            parts = jwt.decode_complete(token, options=_NO_CLAIMS | {"verify_signature": False})
            return parts["header"], parts["payload"]
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            pass
    raise _refused("token", words, words.removeprefix("it "))


def _header_findings(header: Mapping[str, Any]) -> Iterator[Finding]:
    algorithm, kind = header.get("alg"), header.get("typ", "JWT")
    known = ", ".join(ALGORITHMS)
    yield _checked("alg", algorithm, algorithm not in ALGORITHMS and f"it must be signed with one of {known}")
    accepted = isinstance(kind, str) and kind.lower().removeprefix("application/") in _TYPES
    yield _checked("typ", kind, not accepted and "it is not an access token")
    if "crit" in header or "b64" in header:
        words = "it asks for extensions that this service does not know"
        yield _checked("crit", header.get("crit"), words)


def _names(value: object) -> Iterable[str]:
    if isinstance(value, str):
        return value.split()
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []


def _inside(value: Any, *names: str) -> Any:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _trusted(claims: Mapping[str, Any], claim: str) -> Any:
    """Return a claim, unless it is an address that the issuer has not verified."""
    if claim == "email" and claims.get("email_verified") not in (True, "true"):
        return None
    return claims.get(claim)


def _has(claims: Mapping[str, Any], claim: str, expected: str) -> bool:
    value = _trusted(claims, claim)
    for item in value if isinstance(value, list | dict) else [value]:  # of a dictionary, the names count
        if (json.dumps(item) if isinstance(item, bool | int) else item) == expected:
            return True
    return False


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _MAXIMUM_NAME and value.isprintable()


def _checked(part: str, value: Any, words: str | Literal[False], problem: str = "") -> Finding:
    """Return a finding, with an error if there are words for the caller."""
    if not words:
        return Finding(part, value)
    details = f"{repr(value)[:_SHOWN]}{', ' if problem else ''}{problem}" if value is not None else "missing"
    return Finding(part, value, _refused(part, words, f"is {details}"))


def _refused(part: str, words: str, problem: str) -> InvalidTokenError:
    return InvalidTokenError(
        f"The token is not accepted: {words}. Get a new one from its issuer.",
        reason=part,
        problem=f"{part} {problem}",
    )
