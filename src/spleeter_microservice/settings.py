"""Settings, which the operator makes through environment variables.

A setting is one field of ``Settings``; nothing else needs an edit to add one. Only ``cli``, ``bootstrap``
and ``library`` read settings.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import platformdirs

from spleeter_microservice.errors import ConfigurationError

Environment = Literal["development", "production"]
LogLevel = Literal["debug", "info", "warning", "error", "critical"]
Scanning = Literal["off", "required"]

T = TypeVar("T")

_LARGEST = 1 << 31
_SHORTEST_KEY = 16
_USER_DATA = Path(platformdirs.user_data_dir("spleeter-microservice"))


@dataclass(frozen=True)
class Variable:
    """The environment variable of a setting.

    Attributes:
        name: name of the variable.
        meaning: what the setting decides; Markdown, for the documents.
        parse: function that turns the variable's text into the value, or raises a ``ValueError`` that
            says how to write it.
        secret: whether the value must not appear in messages.
        default: description of the default, for the documents; empty if the value says enough.
    """

    name: str
    meaning: str
    parse: Callable[[str], Any]
    secret: bool = False
    default: str = ""

    def read(self, text: str) -> Any:
        """Return the value of the variable's text.

        Raises:
            ConfigurationError: if the text is invalid; the message names the variable.
        """
        if "\0" in text or "\n" in text:
            raise ConfigurationError(
                f"{self.name} contains a line break or a NUL byte. Write it in one line."
            )
        try:
            return self.parse(text)
        except ValueError as error:
            raise ConfigurationError(
                f"{self.name} is {'invalid' if self.secret else repr(text)}. {error}"
            ) from error


def setting(
    name: str,
    default: T,
    meaning: str,
    *,
    parse: Callable[[str], T] = str,  # type: ignore[assignment]  # only for settings that are texts
    secret: bool = False,
    default_text: str = "",
) -> T:
    """Return a field of ``Settings`` that a variable sets; the arguments are those of ``Variable``."""
    variable = Variable(name, meaning, parse, secret, default_text)
    made: T = field(default=default, repr=not secret, metadata={"variable": variable})
    return made


def whole(minimum: int = 1, maximum: int = _LARGEST) -> Callable[[str], int]:
    """Return a parser of whole numbers in a range."""

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and len(text) < 12 and minimum <= int(text) <= maximum):
            raise ValueError(f"Set it to a whole number from {minimum} to {maximum}.")
        return int(text)

    return parse


def one_of(*choices: T) -> Callable[[str], T]:
    """Return a parser of one of several words, in upper or lower case."""

    def parse(text: str) -> T:
        for choice in choices:
            if text.lower() == choice:
                return choice
        raise ValueError(f"Set it to {' or '.join(map(str, choices))}.")

    return parse


def positive(text: str) -> float:
    """Parse a number greater than 0."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number <= _LARGEST:
        raise ValueError(f"Set it to a number greater than 0 and at most {_LARGEST}.")
    return number


def switch(text: str) -> bool:
    """Parse ``on`` or ``off``."""
    return one_of("off", "on")(text) == "on"


def folder(text: str) -> Path:
    """Parse a path; ``~`` stands for the home directory."""
    return Path(text).expanduser()


def names(text: str) -> tuple[str, ...]:
    """Parse names separated by commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def extensions(text: str) -> tuple[str, ...]:
    """Parse file extensions separated by commas, with or without their dots."""
    found = tuple(name.lower().removeprefix(".") for name in names(text))
    for extension in found:
        if not (extension.isascii() and extension.isalnum()):
            raise ValueError(f"{extension!r} is not a file extension. Write them as in wav,mp3.")
    return found


def audit_keys(text: str) -> tuple[str, ...]:
    """Parse secret keys separated by commas."""
    found = names(text)
    if any(len(key) < _SHORTEST_KEY for key in found):
        raise ValueError(f"Each key needs {_SHORTEST_KEY} characters or more: openssl rand -hex 32")
    return found


def http_url(text: str) -> str:
    """Parse an address that begins with ``http://`` or ``https://``."""
    if not text.startswith(("http://", "https://")):
        raise ValueError("It must begin with http:// or https://, as in http://collector:4318.")
    return text


GrantText = tuple[frozenset[str], tuple[tuple[str, str], ...]]
"""Scopes, and the names and values of the claims of a token that has them."""

_UNSAFE_CLAIMS = {
    *("name", "given_name", "family_name", "middle_name", "nickname", "preferred_username", "profile"),
    *("picture", "website", "gender", "birthdate", "zoneinfo", "locale", "phone_number", "address", "upn"),
    *("unique_name", "nonce", "jti", "scope", "scp", "aud"),
}
"""Claims that users edit or that whoever requests a token chooses (OpenID Connect Core, section 5.7)."""


def tenant_claim(text: str) -> str:
    """Parse the name of a claim that nobody but the issuer can choose."""
    if text in _UNSAFE_CLAIMS:
        raise ValueError(
            "Users could choose another's tenant with it. Set it to a claim such as sub or org_id."
        )
    return text


def grants(text: str) -> tuple[GrantText, ...]:
    """Parse rules such as ``separate read if repository=ann/songs ref=refs/heads/main``."""
    parsed = []
    for rule in names(text):
        before, _, after = (f" {rule} ").partition(" if ")
        claims = [condition.partition("=") for condition in after.split()]
        scopes = frozenset(before.split())
        if not scopes or scopes - {"separate", "read"} or not claims or not all(map(all, claims)):
            raise ValueError("Write each rule as: separate read if CLAIM=VALUE CLAIM=VALUE")
        parsed.append((scopes, tuple((claim, value) for claim, _, value in claims)))
    return tuple(parsed)


@dataclass(frozen=True)
class Settings:
    """Settings of one process, each described where it is defined."""

    models_dir: Path = setting(
        "SPLEETER_MODELS_DIR",
        _USER_DATA / "models",
        "Folder where models are installed.",
        parse=folder,
        default_text="`models` in `SPLEETER_DATA_DIR` if that is set, else in the user's data folder",
    )
    models_url: str | None = setting(
        "SPLEETER_MODELS_URL",
        None,
        "Mirror of Deezer's release; `4stems.tar.gz` and the others are downloaded from below it.",
        default_text="Deezer's release on GitHub",
    )
    checkpoints_dir: Path | None = setting(
        "MODEL_PATH",
        None,
        "Folder in which `model_dir` of a configuration file is looked up, as in official Spleeter.",
        parse=Path,
    )
    data_dir: Path = setting(
        "SPLEETER_DATA_DIR",
        Path("data"),
        "Folder for everything that the service stores locally.",
        parse=folder,
    )
    env: Environment = setting(
        "SPLEETER_ENV",
        "development",
        "`development`, or `production`, which does not start without authentication.",
        parse=one_of(*get_args(Environment)),
    )
    log_level: LogLevel = setting(
        "SPLEETER_LOG_LEVEL",
        "info",
        "Least severe level that is logged: `debug`, `info`, `warning`, `error` or `critical`.",
        parse=one_of(*get_args(LogLevel)),
    )
    api_key: str | None = setting(
        "SPLEETER_API_KEY",
        None,
        "API keys of the tenant `default`, comma-separated.",
        secret=True,
        default_text="in `development`, a key is created, kept and printed",
    )
    database_url: str | None = setting(
        "SPLEETER_DATABASE_URL",
        None,
        "PostgreSQL database, `postgresql://…`; needed by more than one machine.",
        secret=True,
        default_text="an embedded database in the data folder",
    )
    storage_url: str | None = setting(
        "SPLEETER_STORAGE_URL",
        None,
        "Object store: a folder, `s3://…`, `gs://…` or `az://…`; shared by all machines.",
        secret=True,
        default_text="`objects` in the data folder",
    )
    workers: int = setting(
        "SPLEETER_WORKERS", 1, "Jobs that a worker process separates at a time.", parse=whole(maximum=256)
    )
    retention_hours: float = setting(
        "SPLEETER_RETENTION_HOURS", 24.0, "Hours that songs and stems are kept after a job.", parse=positive
    )
    max_retention_hours: float = setting(
        "SPLEETER_MAX_RETENTION_HOURS",
        168.0,
        "Longest retention that a caller may request, in hours.",
        parse=positive,
    )
    host: str = setting("SPLEETER_HOST", "127.0.0.1", "Address that the API listens on.")
    port: int = setting("SPLEETER_PORT", 8000, "Port that the API listens on.", parse=whole(maximum=65535))
    api_processes: int = setting(
        "SPLEETER_API_PROCESSES", 1, "Number of API processes.", parse=whole(maximum=256)
    )
    max_file_size_mb: int = setting(
        "SPLEETER_MAX_FILE_SIZE_MB", 500, "Largest upload, in MiB (2^20 bytes).", parse=whole()
    )
    max_duration_s: float = setting(
        "SPLEETER_MAX_DURATION_S", 3600.0, "Longest selection of a song, in seconds.", parse=positive
    )
    allowed_extensions: tuple[str, ...] = setting(
        "SPLEETER_ALLOWED_EXTENSIONS",
        (),
        "Accepted file extensions, comma-separated. A file whose name has none is judged by its content.",
        parse=extensions,
        default_text="every format that can be read, under any name",
    )
    allowed_hosts: tuple[str, ...] = setting(
        "SPLEETER_ALLOWED_HOSTS",
        ("*",),
        "Accepted values of the `Host` header, comma-separated; health and metrics accept any.",
        parse=names,
    )
    cors_origins: tuple[str, ...] = setting(
        "SPLEETER_CORS_ORIGINS",
        (),
        "Origins that may call the API from browsers, comma-separated.",
        parse=names,
    )
    trusted_proxies: tuple[str, ...] = setting(
        "SPLEETER_TRUSTED_PROXIES",
        (),
        "Proxies whose `X-Forwarded-For` is trusted, comma-separated.",
        parse=names,
    )
    source_urls: bool = setting(
        "SPLEETER_SOURCE_URLS",
        default=False,
        meaning="`on` lets callers submit the address of a song instead of a file.",
        parse=switch,
    )
    webhook_secret: str | None = setting(
        "SPLEETER_WEBHOOK_SECRET",
        None,
        "Secrets that sign webhooks, `whsec_…`; separate two by a comma while one replaces the other.",
        secret=True,
        default_text="none: `callback_url` is refused",
    )
    audit_key: tuple[str, ...] = setting(
        "SPLEETER_AUDIT_KEY",
        (),
        "Keys that seal the audit log, comma-separated: the first one seals, and older ones are accepted.",
        parse=audit_keys,
        secret=True,
        default_text="a key in the data folder for the embedded database, none for another",
    )
    max_queued: int = setting(
        "SPLEETER_MAX_QUEUED", 1000, "Jobs that a tenant may have waiting.", parse=whole()
    )
    requests_per_minute: int = setting(
        "SPLEETER_REQUESTS_PER_MINUTE", 600, "Requests that a tenant may make per minute.", parse=whole()
    )
    failed_attempts_per_minute: int = setting(
        "SPLEETER_FAILED_ATTEMPTS_PER_MINUTE",
        20,
        "Failed authentications allowed per client address and minute.",
        parse=whole(),
    )
    jwt_issuer: tuple[str, ...] = setting(
        "SPLEETER_JWT_ISSUER",
        (),
        "Expected `iss` of bearer tokens; several, comma-separated, if they use the same keys.",
        parse=names,
        default_text="none: tokens are refused",
    )
    jwt_audience: tuple[str, ...] = setting(
        "SPLEETER_JWT_AUDIENCE",
        (),
        "Expected `aud` of bearer tokens, or `client_id` of Cognito's; several are comma-separated.",
        parse=names,
    )
    jwt_jwks_url: str | None = setting(
        "SPLEETER_JWT_JWKS_URL", None, "Address of the token issuer's public keys."
    )
    jwt_tenant_claim: str = setting(
        "SPLEETER_JWT_TENANT_CLAIM",
        "sub",
        "Claim of a bearer token that names the tenant.",
        parse=tenant_claim,
    )
    jwt_scope_prefix: str = setting(
        "SPLEETER_JWT_SCOPE_PREFIX", "", "Prefix that the token issuer puts before scopes."
    )
    jwt_grants: tuple[GrantText, ...] = setting(
        "SPLEETER_JWT_GRANTS",
        (),
        "Scopes of bearer tokens that have certain claims, such as `separate read if "
        "repository=ann/songs ref=refs/heads/main`; several are comma-separated.",
        parse=grants,
    )
    clamd_url: str | None = setting(
        "SPLEETER_CLAMD_URL", None, "Address of clamd: `tcp://host:3310` or `unix:///path`."
    )
    antivirus: Scanning = setting(
        "SPLEETER_ANTIVIRUS",
        "off",
        "`required` accepts only uploads that clamd finds clean.",
        parse=one_of(*get_args(Scanning)),
    )
    job_time_limit_s: float = setting(
        "SPLEETER_JOB_TIME_LIMIT_S", 3600.0, "Longest attempt at a job, in seconds.", parse=positive
    )
    job_memory_mb: int = setting(
        "SPLEETER_JOB_MEMORY_MB",
        3072,
        "Memory limit of a job's process, in MiB (2^20 bytes).",
        parse=whole(minimum=512),
    )
    grace_s: float = setting(
        "SPLEETER_GRACE_S",
        30.0,
        "Seconds that running jobs have to finish when a worker stops; then they are requeued.",
        parse=positive,
    )
    metrics_port: int | None = setting(
        "SPLEETER_METRICS_PORT",
        None,
        "Port for the metrics of a stand-alone `worker`; 0 for none.",
        parse=whole(minimum=0, maximum=65535),
    )
    otlp_endpoint: str | None = setting(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        None,
        "OpenTelemetry collector that receives traces; needs the extra `tracing`.",
        parse=http_url,
    )

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Settings:
        """Read the settings; an empty variable counts as unset.

        Raises:
            ConfigurationError: if a variable is invalid, or another one that it needs is missing; the
                message names it.
        """
        values: dict[str, Any] = {}
        for item in fields(cls):
            variable: Variable = item.metadata["variable"]
            if text := environ.get(variable.name, "").strip():
                values[item.name] = variable.read(text)
        if "data_dir" in values:
            values.setdefault("models_dir", values["data_dir"] / "models")
        settings = cls(**values)
        settings._check()
        return settings

    def _check(self) -> None:
        """Raise ``ConfigurationError`` if two settings contradict each other."""
        if self.retention_hours > self.max_retention_hours:
            raise ConfigurationError(
                f"SPLEETER_RETENTION_HOURS ({self.retention_hours:g}) exceeds SPLEETER_MAX_RETENTION_HOURS "
                f"({self.max_retention_hours:g}). Lower the first or raise the second."
            )
        tokens = {
            "SPLEETER_JWT_ISSUER": self.jwt_issuer,
            "SPLEETER_JWT_AUDIENCE": self.jwt_audience,
            "SPLEETER_JWT_JWKS_URL": self.jwt_jwks_url,
        }
        missing = [name for name, value in tokens.items() if not value]
        if missing and len(missing) < len(tokens):
            raise ConfigurationError(
                f"Bearer tokens also need {', '.join(missing)}. Set all of {', '.join(tokens)}, or none."
            )
        if self.antivirus == "required" and not self.clamd_url:
            raise ConfigurationError(
                "SPLEETER_ANTIVIRUS=required needs a scanner. Set SPLEETER_CLAMD_URL to tcp://host:3310 or "
                "unix:///path."
            )

    @property
    def accepts_tokens(self) -> bool:
        """Whether bearer tokens are configured."""
        return bool(self.jwt_issuer)
