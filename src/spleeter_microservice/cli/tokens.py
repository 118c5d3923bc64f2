"""The command ``tokens``: explain why a bearer token is or is not accepted."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from datetime import UTC, datetime
from typing import Any

from spleeter_microservice import errors
from spleeter_microservice.cli.table import table
from spleeter_microservice.settings import Settings

_TIMES = ("exp", "nbf", "iat", "auth_time")
_SHOWN = 60  # characters of a value


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    tokens = commands.add_parser("tokens", help="explain why a bearer token is or is not accepted")
    actions = tokens.add_subparsers(title="actions", metavar="ACTION", required=True)
    action = actions.add_parser("check", help="check a token claim by claim, with the service's settings")
    action.add_argument("token", metavar="TOKEN", help="the token; - reads it from standard input")
    action.set_defaults(run=check_token)


def check_token(options: argparse.Namespace, settings: Settings) -> int:
    """Print what each check of a token finds, then raise the error that the service would report."""
    from spleeter_microservice.bootstrap.tokens import token_verifier

    verifier = token_verifier(settings)
    if verifier is None:
        raise errors.ConfigurationError(
            "The service accepts no tokens. Set SPLEETER_JWT_ISSUER, SPLEETER_JWT_AUDIENCE and "
            "SPLEETER_JWT_JWKS_URL as for the service."
        )
    token = sys.stdin.read() if options.token == "-" else options.token  # noqa: S105
    examination = asyncio.run(verifier.examine(token.strip()))
    rows = [(found.part, found.value, _result(found.error)) for found in examination.findings]
    checked = {found.part for found in examination.findings}
    rows += [(name, value, "-") for name, value in examination.claims.items() if name not in checked]
    print(table([("PART", "VALUE", "RESULT"), *((_safe(n), _shown(n, v), result) for n, v, result in rows)]))
    if examination.error:
        raise examination.error
    principal = examination.principal
    assert principal
    if not principal.scopes:
        raise errors.MissingScopeError(
            f"The token authenticates the tenant {principal.tenant}, but it has no scope of this service, so "
            "every call is refused. docs/identity.md lists the claims that are read.",
            "separate read",
        )
    print(f"Accepted: tenant {principal.tenant}, scopes {' '.join(sorted(principal.scopes))}.")
    return 0


def _result(error: errors.SpleeterError | None) -> str:
    if error is None:
        return "ok"
    return error.problem if isinstance(error, errors.InvalidTokenError) else str(error)


def _shown(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if name in _TIMES and isinstance(value, int | float):
        try:
            return datetime.fromtimestamp(value, UTC).isoformat(timespec="seconds")
        except (ValueError, OverflowError, OSError):
            pass
    return _safe(value if isinstance(value, str) else json.dumps(value))


def _safe(text: str) -> str:
    """Return the beginning of a text, without characters that a terminal would act on."""
    return "".join(c if c.isprintable() else "?" for c in text[:_SHOWN]) + ("…" if len(text) > _SHOWN else "")
