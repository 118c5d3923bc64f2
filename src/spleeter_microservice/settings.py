"""Settings, which the operator makes through environment variables.

A setting is one field of ``Settings``; nothing else needs an edit to add one. Its variable is ``SPLEETER_``
and the name of the field in capitals. Only ``cli``, ``bootstrap`` and ``library`` read settings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

import platformdirs

from spleeter_microservice.access.keys import ConfiguredKey, parse_configured
from spleeter_microservice.access.token_rules import Grant, parse_grant, parse_tenant_claim
from spleeter_microservice.errors import ConfigurationError
from spleeter_microservice.outgoing.inner_targets import InnerTarget
from spleeter_microservice.setting_values import (
    LONGEST_RETENTION,
    checked,
    database_url,
    extension,
    folder,
    http_url,
    key_set_url,
    listed,
    listening_host,
    names,
    one_of,
    origin,
    path_prefix,
    positive,
    proxy,
    secret_keys,
    served_host,
    storage_url,
    switch,
    whole,
)
from spleeter_microservice.storage.bucket_urls import BucketGrant
from spleeter_microservice.webhooks.signature import parse_secrets

if TYPE_CHECKING:
    from spleeter_microservice.antivirus.clamd import Clamd

Environment = Literal["development", "production"]
SignedBy = Literal["store", "service", "off"]
LogLevel = Literal["debug", "info", "warning", "error", "critical"]

T = TypeVar("T")

_PREFIX = "SPLEETER_"
# What Kubernetes sets in every pod beside a service that is called ``spleeter`` or ``spleeter-…``.
_SERVICE_LINK = re.compile(
    r"SPLEETER_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)"
)
_SERVICE_ADDRESS = re.compile(r"(tcp|udp|sctp)://\S+:\d+")
_DATA = Path("data")
_PARSERS: Mapping[type, Callable[[str], Any]] = {
    bool: switch,
    int: whole(),
    float: positive(),
    str: str,
}


def _user_data() -> Path:
    """Return the user's data folder; that of the service for a user without a home directory."""
    try:
        return Path(platformdirs.user_data_dir("spleeter-microservice"))
    except RuntimeError:
        return _DATA


@dataclass(frozen=True)
class Variable:
    """The environment variable of a setting.

    Attributes:
        field: name of the field of ``Settings``.
        value: default of the setting.
        meaning: what the setting decides; Markdown, for the documents.
        parse: function that turns the variable's text into the value, or raises a ``ValueError`` that
            says how to write it.
        secret: whether the value may hold a secret, such as a password in a URL, and must not appear in
            messages.
        default: description of the default, for the documents; empty if the value says enough.
        name: name of the variable.
    """

    field: str
    value: Any
    meaning: str
    parse: Callable[[str], Any]
    secret: bool
    default: str
    name: str


def setting(
    value: T,
    meaning: str,
    *,
    parse: Callable[[str], T] | None = None,
    secret: bool = False,
    default: str = "",
    name: str = "",
) -> T:
    """Return a field of ``Settings``; the arguments are those of ``Variable``.

    Without ``parse``, the type of the default decides: a text, a switch, or a number greater than 0.
    """
    parse = parse or _PARSERS[type(value)]
    about = {"meaning": meaning, "parse": parse, "secret": secret, "default": default, "name": name}
    made: T = field(default=value, repr=not secret, metadata=about)
    return made


def _clamd(url: str) -> Clamd:
    """Parse an address of clamd; imported lazily, since asyncio takes a third of a command's start."""
    from spleeter_microservice.antivirus.clamd import Clamd  # noqa: PLC0415

    return Clamd.from_url(url)


def _antivirus(text: str) -> str:
    """Parse ``off``, ``required`` or the name of a function, which must be importable."""
    if ":" in text:
        from spleeter_microservice.antivirus.scan import import_function  # noqa: PLC0415

        import_function(text)
    elif text.lower() not in ("off", "required"):
        raise ValueError("Set it to off, required or package.module:function.")
    return text if ":" in text else text.lower()


@dataclass(frozen=True)
class Settings:
    """Settings of one process, each described where it is defined."""

    models_dir: Path = setting(
        _user_data() / "models",
        "Folder where models are installed.",
        parse=folder,
        default="`models` in `SPLEETER_DATA_DIR` if that is set, else in the user's data folder",
    )
    models_url: str | None = setting(
        None,
        "Mirror of Deezer's release; `4stems.tar.gz` and the others are downloaded from below it.",
        default="Deezer's release on GitHub",
        parse=http_url,
        secret=True,
    )
    checkpoints_dir: Path | None = setting(
        None,
        "Folder in which `model_dir` of a configuration file is looked up, as in official Spleeter.",
        parse=Path,
        name="MODEL_PATH",
    )
    data_dir: Path = setting(_DATA, "Folder for everything that the service stores locally.", parse=folder)
    env: Environment = setting(
        "development",
        "`development`, or `production`, which does not start without authentication.",
        parse=one_of(*get_args(Environment)),
    )
    log_level: LogLevel = setting(
        "info",
        "Least severe level that is logged: `debug`, `info`, `warning`, `error` or `critical`.",
        parse=one_of(*get_args(LogLevel)),
    )
    api_key: tuple[ConfiguredKey, ...] = setting(
        (),
        "API keys of the tenant `default`, comma-separated.",
        secret=True,
        default="in `development`, a key is created, kept and printed",
        parse=checked(parse_configured),
    )
    database_direct_url: str | None = setting(
        None,
        "The same database past a connection pooler such as PgBouncer, for migrations and notifications.",
        secret=True,
        default="`SPLEETER_DATABASE_URL`; behind a pooler, changes are then polled",
        parse=database_url,
    )
    database_url: str | None = setting(
        None,
        "PostgreSQL database, `postgresql://…`; needed by more than one machine.",
        secret=True,
        default="an embedded database in the data folder",
        parse=database_url,
    )
    storage_url: str | None = setting(
        None,
        "Object store: a folder, `s3://…`, `gs://…` or `az://…`; shared by all machines.",
        secret=True,
        default="`objects` in the data folder",
        parse=storage_url,
    )
    min_free_mb: int | None = setting(
        None,
        "Free space in MiB (2^20 bytes) below which a disk counts as full, and new songs are refused.",
        parse=whole(minimum=0),
        default="a twentieth of the disk, at most 1024",
    )
    workers: int = setting(1, "Jobs that a worker process separates at a time.", parse=whole(maximum=256))
    retention_hours: float = setting(
        24.0, "Hours that songs and stems are kept after a job.", parse=positive(LONGEST_RETENTION)
    )
    max_retention_hours: float = setting(
        168.0, "Longest retention that a caller may request, in hours.", parse=positive(LONGEST_RETENTION)
    )
    host: str = setting(
        "127.0.0.1",
        "Address that the API and the metrics of a stand-alone `worker` listen on.",
        parse=listening_host,
    )
    port: int = setting(8000, "Port that the API listens on.", parse=whole(maximum=65535))
    api_processes: int = setting(1, "Number of API processes.", parse=whole(maximum=256))
    max_file_size_mb: int = setting(500, "Largest upload, in MiB (2^20 bytes).")
    max_duration_s: float = setting(3600.0, "Longest selection of a song, in seconds.")
    allowed_extensions: tuple[str, ...] = setting(
        (),
        "Accepted file extensions, comma-separated. A file whose name has none is judged by its content.",
        parse=listed(extension),
        default="every format that can be read, under any name",
    )
    allowed_hosts: tuple[str, ...] = setting(
        ("*",),
        "Accepted values of the `Host` header, comma-separated; health and metrics accept any.",
        parse=listed(served_host),
    )
    cors_origins: tuple[str, ...] = setting(
        (),
        "Origins that may call the API from browsers, comma-separated, as in `https://example.com`.",
        parse=listed(origin),
    )
    trusted_proxies: tuple[str, ...] = setting(
        (),
        "Proxies whose `X-Forwarded-For`, `-Proto` and `-Prefix` are trusted: IP addresses and networks, "
        "comma-separated.",
        parse=listed(proxy),
    )
    root_path: str = setting(
        "", "Path under which a proxy serves the service, such as `/stems`.", parse=path_prefix
    )
    keep_alive_s: int = setting(
        75,
        "Seconds that an idle connection stays open; longer than a load balancer keeps its own.",
        parse=whole(maximum=3600),
    )
    api_grace_s: float = setting(
        600.0, "Seconds that requests, such as uploads, have to finish when the API stops."
    )
    previews: bool = setting(
        True, "`off` makes no previews, which saves some of a worker's time; the page then plays the stems."
    )
    source_urls: bool = setting(False, "`on` lets callers submit the address of a song instead of a file.")
    inner_targets: tuple[InnerTarget, ...] = setting(
        (),
        "Hosts and networks inside your own network that callers' addresses may name, comma-separated: "
        "`hooks.internal`, `*.svc.cluster.local`, `files.internal:8080`, `10.20.0.0/16`.",
        parse=listed(InnerTarget.parse),
        default="none: only public addresses",
    )
    buckets: tuple[BucketGrant, ...] = setting(
        (),
        "Buckets, or folders of them, that `source_url` and `destination_url` may name, comma-separated: "
        "`s3://songs`, `gs://songs/{tenant}` for a folder of each tenant, `ann=az://songs` for one tenant.",
        parse=listed(BucketGrant.parse),
        default="none",
    )
    destination_urls: bool = setting(
        False, "`on` lets callers have stems sent to pre-signed addresses (`destination_url`)."
    )
    signed_urls: SignedBy = setting(
        "store",
        "Who signs addresses at which stems can be downloaded without a key: `store` for the bucket, or the "
        "service if that cannot sign; `service`; or `off`.",
        parse=one_of(*get_args(SignedBy)),
    )
    signed_url_s: int = setting(900, "Seconds that a signed address is valid.", parse=whole(maximum=604_800))
    signing_key: tuple[str, ...] = setting(
        (),
        "Keys with which the service signs addresses, comma-separated: the first one signs, and older ones "
        "are accepted.",
        parse=secret_keys,
        secret=True,
        default="derived from `SPLEETER_AUDIT_KEY` or its default",
    )
    webhook_secret: tuple[str, ...] = setting(
        (),
        "Secrets that sign webhooks, `whsec_…`; separate two by a comma while one replaces the other.",
        secret=True,
        default="none: `callback_url` is refused",
        parse=checked(parse_secrets),
    )
    audit_key: tuple[str, ...] = setting(
        (),
        "Keys that seal the audit log, comma-separated: the first one seals, and older ones are accepted.",
        parse=secret_keys,
        secret=True,
        default="a key in the data folder for the embedded database, none for another",
    )
    max_uploads: int = setting(64, "Songs of a tenant that an API process receives and checks at a time.")
    max_fetches: int = setting(
        32, "Songs of a tenant that an API process fetches from `source_url` at a time."
    )
    max_downloads: int = setting(
        64, "Downloads, and calls of `POST /separate`, of a tenant that an API process serves at a time."
    )
    max_event_streams: int = setting(1000, "Event streams of a tenant that an API process serves at a time.")
    max_queued: int = setting(1000, "Jobs, and resumable uploads, that a tenant may have waiting.")
    max_queued_hours: float = setting(100.0, "Hours of audio that a tenant may have waiting.")
    max_stored_gb: float = setting(
        1000.0,
        "Gigabytes (10^9 bytes) of songs and stems that a tenant may have stored or expect; never more than "
        "80% of the disk, if the store is a folder.",
    )
    max_pending_webhooks: int = setting(
        10_000, "Webhooks of a tenant that are to be delivered, now or when jobs end."
    )
    requests_per_minute: int = setting(600, "Requests that a tenant may make per minute.")
    failed_attempts_per_minute: int = setting(
        20, "Failed authentications allowed per client address and minute."
    )
    jwt_issuer: tuple[str, ...] = setting(
        (),
        "Expected `iss` of bearer tokens; several, comma-separated, if they use the same keys.",
        parse=names,
        default="none: tokens are refused",
    )
    jwt_audience: tuple[str, ...] = setting(
        (),
        "Expected `aud` of bearer tokens, or `client_id` of Cognito's; several are comma-separated.",
        parse=names,
    )
    jwt_jwks_url: str | None = setting(
        None, "Address of the token issuer's public keys.", parse=key_set_url, secret=True
    )
    jwt_tenant_claim: str = setting(
        "sub", "Claim of a bearer token that names the tenant.", parse=parse_tenant_claim
    )
    jwt_scope_prefix: str = setting("", "Prefix that the token issuer puts before scopes.")
    jwt_grants: tuple[Grant, ...] = setting(
        (),
        "Scopes of bearer tokens that have certain claims, such as `separate read if "
        "repository=ann/songs ref=refs/heads/main`; several are comma-separated.",
        parse=listed(parse_grant),
    )
    clamd_url: Clamd | None = setting(
        None, "Address of clamd: `tcp://host:3310` or `unix:///path`.", parse=checked(_clamd), secret=True
    )
    antivirus: str = setting(
        "off",
        "`required` accepts only uploads that clamd finds clean; `package.module:function` asks a scanner of "
        "your own.",
        parse=_antivirus,
    )
    job_time_limit_s: float = setting(3600.0, "Longest attempt at a job, in seconds.")
    job_memory_mb: int = setting(
        3072, "Memory limit of a job's process, in MiB (2^20 bytes).", parse=whole(minimum=512)
    )
    grace_s: float = setting(
        30.0, "Seconds that running jobs have to finish when a worker stops; then they are requeued."
    )
    metrics_port: int | None = setting(
        None,
        "Port for the metrics of a stand-alone `worker`; 0 for none.",
        parse=whole(minimum=0, maximum=65535),
    )
    otlp_endpoint: str | None = setting(
        None,
        "OpenTelemetry collector that receives traces; needs the extra `tracing`.",
        parse=http_url,
        secret=True,
        name="OTEL_EXPORTER_OTLP_ENDPOINT",
    )

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Settings:
        """Read the settings; an empty variable counts as unset.

        Raises:
            ConfigurationError: if variables are invalid, or others that they need are missing; the message
                has one line for each and shows no secret.
        """
        values: dict[str, Any] = {}
        problems: dict[str, str] = {}
        for variable in variables():
            name = variable.name
            text = environ.get(name, "").strip()
            if "\0" in text or "\n" in text:
                problems[name] = f"{name} contains a line break or a NUL byte. Write it in one line."
            elif text and not _is_service_link(name, text):
                try:
                    values[variable.field] = variable.parse(text)
                except ValueError as error:
                    problems[name] = f"{name} is {'invalid' if variable.secret else repr(text)}. {error}"
        if "data_dir" in values:
            values.setdefault("models_dir", values["data_dir"] / "models")
        settings = cls(**values)
        lines = [*problems.values()]
        lines += [line for involved, line in settings._contradictions() if not involved & problems.keys()]
        if lines:
            raise ConfigurationError("\n".join(lines))
        return settings

    def _contradictions(self) -> Iterator[tuple[set[str], str]]:
        """Yield the variables that contradict each other, and what to do about them."""
        if self.retention_hours > self.max_retention_hours:
            yield (
                {"SPLEETER_RETENTION_HOURS", "SPLEETER_MAX_RETENTION_HOURS"},
                f"SPLEETER_RETENTION_HOURS ({self.retention_hours:g}) exceeds SPLEETER_MAX_RETENTION_HOURS "
                f"({self.max_retention_hours:g}). Lower the first or raise the second.",
            )
        tokens = {
            "SPLEETER_JWT_ISSUER": self.jwt_issuer,
            "SPLEETER_JWT_AUDIENCE": self.jwt_audience,
            "SPLEETER_JWT_JWKS_URL": self.jwt_jwks_url,
        }
        missing = [name for name, value in tokens.items() if not value]
        if missing and len(missing) < len(tokens):
            yield (
                {*tokens},
                f"Bearer tokens also need {', '.join(missing)}. Set all of {', '.join(tokens)}, or none.",
            )
        if self.database_direct_url and not self.database_url:
            yield (
                {"SPLEETER_DATABASE_DIRECT_URL", "SPLEETER_DATABASE_URL"},
                "SPLEETER_DATABASE_DIRECT_URL needs SPLEETER_DATABASE_URL beside it. Set both.",
            )
        if any(grant.overlaps(self.storage_url or "") for grant in self.buckets):
            yield (
                {"SPLEETER_BUCKETS", "SPLEETER_STORAGE_URL"},
                "SPLEETER_BUCKETS lists the place of SPLEETER_STORAGE_URL, where callers could read each "
                "other's songs. List another bucket, or a folder beside that one.",
            )
        if self.antivirus == "required" and not self.clamd_url:
            yield (
                {"SPLEETER_ANTIVIRUS", "SPLEETER_CLAMD_URL"},
                "SPLEETER_ANTIVIRUS=required needs a scanner. Set SPLEETER_CLAMD_URL to tcp://host:3310 or "
                "unix:///path.",
            )

    def require_database(self, part: str) -> str:
        """Return the URL of the database that a part of the service needs when it runs alone.

        Raises:
            ConfigurationError: if it is not set.
        """
        if self.database_url is None:
            raise ConfigurationError(
                f"SPLEETER_DATABASE_URL is not set, and {part} alone needs a database. Set it, or start "
                "everything together with an embedded one: spleeter-microservice serve"
            )
        return self.database_url

    @property
    def accepts_tokens(self) -> bool:
        """Whether bearer tokens are configured."""
        return bool(self.jwt_issuer)


def variables() -> Iterator[Variable]:
    """Yield the variables of all settings."""
    for item in fields(Settings):
        about = dict(item.metadata)
        about["name"] = about["name"] or _PREFIX + item.name.upper()
        yield Variable(item.name, item.default, **about)


def misspelt_variables(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield a warning for each variable that looks like a setting but is not one."""
    known = [variable.name for variable in variables()]
    for name, text in sorted(environ.items()):
        if name.upper().startswith(_PREFIX) and name not in known and not _is_service_link(name, text):
            bare = [one.removeprefix(_PREFIX) for one in known]
            nearest = get_close_matches(name.upper().removeprefix(_PREFIX), bare, n=1)
            hint = f" Did you mean {_PREFIX}{nearest[0]}?" if nearest else ""
            yield f"{name} is not a setting and has no effect.{hint}"


def _is_service_link(name: str, text: str) -> bool:
    if name.endswith("_PORT"):
        return _SERVICE_ADDRESS.fullmatch(text) is not None
    return _SERVICE_LINK.fullmatch(name) is not None
