"""A real OpenID provider, ``oidc-provider`` under Node.js, whose users sign in with any password."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx

AUDIENCE = "https://stems.example.com"
_SCRIPT = Path(__file__).parent / "openid" / "provider.mjs"
_PACKAGES = Path(sys.prefix) / "openid"
_CALLBACK = "http://127.0.0.1/callback"


@dataclass(frozen=True)
class OpenIdProvider:
    """A running provider."""

    issuer: str
    process: subprocess.Popen[str]

    def discover(self, name: str) -> str:
        """Return a value of the provider's description of itself."""
        found = httpx.get(f"{self.issuer}/.well-known/openid-configuration", trust_env=False).json()
        return str(found[name])

    def client_token(self, scope: str = "separate read") -> str:
        """Return an access token of a program."""
        fields = {"grant_type": "client_credentials", "scope": scope, "resource": AUDIENCE}
        return self._token(fields, ("studio", "secret-of-the-studio"))

    def user_token(self, user: str, scope: str = "separate read") -> str:
        """Sign a user in, with a code and PKCE as a browser and a native program do; return the token."""
        verifier = secrets.token_urlsafe(48)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            "client_id": "player", "response_type": "code", "redirect_uri": _CALLBACK,
            "scope": f"openid {scope}", "resource": AUDIENCE,
            "code_challenge": challenge, "code_challenge_method": "S256",
        }  # fmt: skip
        with httpx.Client(base_url=self.issuer, trust_env=False) as browser:
            answer = browser.get("/auth", params=query)
            while not answer.headers.get("location", "").startswith(_CALLBACK):
                if answer.is_redirect:
                    answer = browser.get(urljoin(str(answer.url), answer.headers["location"]))
                    continue
                form = re.search(r'action="([^"]+)".*?name="prompt" value="(\w+)"', answer.text, re.DOTALL)
                assert form, answer.text
                answer = browser.post(form[1], data={"prompt": form[2], "login": user, "password": "any"})
        code = parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]
        fields = {
            "grant_type": "authorization_code", "client_id": "player", "code": code,
            "redirect_uri": _CALLBACK, "code_verifier": verifier, "resource": AUDIENCE,
        }  # fmt: skip
        return self._token(fields)

    def rotate(self) -> None:
        """Make the provider sign with a new key, of another type."""
        self.process.send_signal(signal.SIGHUP)
        _read_until(self.process, "rotated")

    def _token(self, fields: dict[str, str], auth: tuple[str, str] | None = None) -> str:
        answer = httpx.post(f"{self.issuer}/token", data=fields, auth=auth, trust_env=False)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])


@contextmanager
def running() -> Iterator[OpenIdProvider]:
    """Start a provider, and stop it at the end."""
    assert (_PACKAGES / "installed").exists(), (
        "oidc-provider is not installed. Install Node.js with npm, then run make test."
    )
    command = ["node", str(_SCRIPT), str(_PACKAGES)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield OpenIdProvider(_read_until(process, "http://"), process)
        finally:
            process.terminate()


def _read_until(process: subprocess.Popen[str], begin: str) -> str:
    """Return the next line of output with a certain begin."""
    assert process.stdout
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith(begin):
            return line.strip()
    raise AssertionError("".join(lines))
