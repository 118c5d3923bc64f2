"""The verifier of bearer tokens that the settings describe."""

from __future__ import annotations

from spleeter_microservice.access.jwks import Jwks
from spleeter_microservice.access.token_rules import TokenRules
from spleeter_microservice.access.tokens import TokenVerifier
from spleeter_microservice.settings import Settings


def token_verifier(settings: Settings) -> TokenVerifier | None:
    """Return the verifier of bearer tokens, or ``None`` if no issuer is configured.

    Raises:
        ConfigurationError: if the environment's proxies cannot be used.
    """
    if not settings.jwt_issuer or not settings.jwt_audience or not settings.jwt_jwks_url:
        return None
    rules = TokenRules(
        settings.jwt_issuer,
        settings.jwt_audience,
        settings.jwt_tenant_claim,
        settings.jwt_scope_prefix,
        settings.jwt_grants,
    )
    return TokenVerifier(rules, Jwks(settings.jwt_jwks_url))
