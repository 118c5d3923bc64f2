"""Access tokens with the header and the claims that real providers issue, signed with our own keys."""

from typing import Any

from tests.support.issuer import Signer

RSA = Signer.rsa("a1b2")
_DIRECTORY = "72f988bf-0000-4000-8000-2d7cd011db47"
_API = "6e74172b-0000-4000-8000-cff81bc41d43"
_CALLER = "00001111-0000-4000-8000-444455556666"
_PRINCIPAL = "a9d7ab3c-0000-4000-8000-1f5a1b2c3d4e"
_COGNITO_CLIENT = "5kq3v1u2t4s6r8p0"
_NONE: dict[str, Any] = {"aud": None, "scope": None}

SHAPES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "Keycloak": (
        {},
        {
            "iss": "https://sso.example.com/realms/music",
            "aud": ["spleeter", "account"],
            "sub": "2c5e9d1b-41f5-4c1e-9d0b-6f7a0e6c8d11",
            "typ": "Bearer",
            "azp": "studio",
            "jti": "trrtcc:9f2c7c0e",
            "acr": "1",
            "allowed-origins": ["/*"],
            "realm_access": {"roles": ["default-roles-music", "offline_access"]},
            "resource_access": {
                "spleeter": {"roles": ["separate", "read"]},
                "account": {"roles": ["manage-account"]},
            },
            "scope": "email profile",
            "email_verified": False,
            "preferred_username": "service-account-studio",
            "client_id": "studio",
        },
    ),
    "Auth0": (
        {},
        {
            "iss": "https://music.eu.auth0.com/",
            "aud": "https://stems.example.com",
            "sub": "rB1n@clients",
            "azp": "rB1n",
            "gty": "client-credentials",
            "scope": "",
            "permissions": ["separate", "read"],
        },
    ),
    "Okta": (
        {"typ": None},
        {
            "ver": 1,
            "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE",
            "iss": "https://music.okta.com/oauth2/default",
            "aud": "api://spleeter",
            "sub": "0oa7k2m9xQ",
            "cid": "0oa7k2m9xQ",
            "scope": None,
            "scp": ["separate", "read"],
        },
    ),
    "Microsoft Entra": (
        {"x5t": "a1b2"},
        {
            **_NONE,
            "aud": _API,
            "iss": f"https://login.microsoftonline.com/{_DIRECTORY}/v2.0",
            "nbf": 1700000000,
            "aio": "k2RgYFjZ",
            "azp": _CALLER,
            "azpacr": "1",
            "oid": _PRINCIPAL,
            "rh": "1.AAAA.",
            "roles": ["separate", "read"],
            "sub": _PRINCIPAL,
            "tid": _DIRECTORY,
            "uti": "Yq0",
            "ver": "2.0",
        },
    ),
    "Microsoft Entra, version 1": (
        {"x5t": "a1b2"},
        {
            **_NONE,
            "aud": f"api://{_API}",
            "iss": f"https://sts.windows.net/{_DIRECTORY}/",
            "nbf": 1700000000,
            "appid": _CALLER,
            "appidacr": "1",
            "idp": f"https://sts.windows.net/{_DIRECTORY}/",
            "oid": _PRINCIPAL,
            "roles": ["separate", "read"],
            "sub": _PRINCIPAL,
            "tid": _DIRECTORY,
            "ver": "1.0",
        },
    ),
    "Amazon Cognito": (
        {"typ": None},
        {
            **_NONE,
            "sub": _COGNITO_CLIENT,
            "token_use": "access",
            "scope": "api/separate api/read",
            "auth_time": 1700000000,
            "iss": "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Ab1Cd2Ef3",
            "version": 2,
            "jti": "27b2c5d4",
            "client_id": _COGNITO_CLIENT,
        },
    ),
    "Google service accounts": (
        {},
        {
            **_NONE,
            "iss": "https://accounts.google.com",
            "aud": "https://stems.example.com",
            "azp": "104217304281930475623",
            "sub": "104217304281930475623",
            "email": "mixer@music-4711.iam.gserviceaccount.com",
            "email_verified": True,
        },
    ),
    "GitHub Actions": (
        {"x5t": "a1b2"},
        {
            **_NONE,
            "iss": "https://token.actions.githubusercontent.com",
            "aud": "https://stems.example.com",
            "sub": "repo:ann/songs:ref:refs/heads/main",
            "nbf": 1700000000,
            "jti": "6f4762ed",
            "ref": "refs/heads/main",
            "ref_type": "branch",
            "ref_protected": "true",
            "repository": "ann/songs",
            "repository_id": "74205133",
            "repository_owner": "ann",
            "repository_owner_id": "65",
            "actor": "ann",
            "event_name": "push",
            "workflow": "stems",
            "job_workflow_ref": "ann/songs/.github/workflows/stems.yml@refs/heads/main",
            "runner_environment": "github-hosted",
        },
    ),
    "Kubernetes service accounts": (
        {"typ": None},
        {
            **_NONE,
            "iss": "https://kubernetes.default.svc.cluster.local",
            "aud": ["https://stems.example.com"],
            "nbf": 1700000000,
            "jti": "0e4f",
            "kubernetes.io": {
                "namespace": "studio",
                "pod": {"name": "mixer-0", "uid": "c1"},
                "serviceaccount": {"name": "mixer", "uid": "d2"},
            },
            "sub": "system:serviceaccount:studio:mixer",
        },
    ),
}
"""Header fields and claims by the provider's heading in docs/identity.md; None omits what is usual."""


def provider_token(provider: str, **claims: Any) -> str:
    """Return a provider's token, with some claims replaced, or omitted if None."""
    header, own = SHAPES[provider]
    return RSA.token(header, **{**own, **claims})
