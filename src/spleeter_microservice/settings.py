"""What the environment decides; read by ``cli`` and ``bootstrap`` alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast, get_args

import platformdirs

from spleeter_microservice.errors import ConfigurationError

Environment = Literal["development", "production"]
LogLevel = Literal["debug", "info", "warning", "error", "critical"]

AUDIO_EXTENSIONS = (
    *("wav", "mp3", "flac", "ogg", "oga", "opus", "m4a", "aac", "mp4", "aif", "aiff", "wma", "webm", "mkv"),
    "mka",
)
"""OutcomeRecorder of the names of files that are taken unless the operator says otherwise."""

_LARGEST = 1 << 31


@dataclass(frozen=True)
class Settings:
    """Settings of one process; each field is the variable of that name in capitals.

    Attributes:
        models_dir: where models are installed: ``SPLEETER_MODELS_DIR``, else the folder
            ``models`` in ``SPLEETER_DATA_DIR``, else in the user's data folder, for the
            service as for the other commands, so that both find the same models.
        models_url: a mirror of Deezer's release archives.
        checkpoints_dir: where ``model_dir`` of a configuration file is looked for, as in
            official Spleeter: ``MODEL_PATH``.
        data_dir: everything that the service keeps on this machine.
        env: ``production`` refuses to start where nobody could be told from a stranger.
        log_level: of what is logged.
        api_key: keys separated by commas.
        database_url: PostgreSQL; None: the embedded one, in the data folder.
        storage_url: the object store; None: a folder in the data folder.
        workers: jobs that a worker process does at a time.
        retention_hours, max_retention_hours: how long things are kept after a job's end.
        host, port, api_processes: of the API.
        max_file_size_mb: of an upload, in units of 2^20 bytes.
        max_duration_s: of a song, in seconds.
        allowed_extensions: of file names, in lower case and without the dot.
        allowed_hosts: values of ``Host`` that are answered.
        cors_origins: that browsers may call from.
        trusted_proxies: addresses whose ``X-Forwarded-For`` is believed.
        source_urls: whether songs are fetched from addresses that callers give.
        webhook_secret: of signatures, several separated by commas.
        max_queued: jobs that a tenant may have waiting.
        requests_per_minute: of a tenant.
        failed_attempts_per_minute: to authenticate, of a client's address.
        jwt_issuer, jwt_audience, jwt_jwks_url: of bearer tokens; all or none.
        jwt_tenant_claim, jwt_scope_prefix: as in ``security.tokens.TokenRules``.
        clamd_url, antivirus: the virus scanner.
        job_time_limit_s: of one attempt at a job, in seconds.
        job_memory_mb: of the process that separates, in units of 2^20 bytes.
        grace_s: seconds for running jobs when a worker is told to stop.
        metrics_port: of a worker's own metrics; None: it has none.
        otlp_endpoint: where traces go: ``OTEL_EXPORTER_OTLP_ENDPOINT``.
    """

    models_dir: Path
    models_url: str | None = None
    checkpoints_dir: Path | None = None
    data_dir: Path = Path("data")
    env: Environment = "development"
    log_level: LogLevel = "info"
    api_key: str | None = field(default=None, repr=False)
    database_url: str | None = field(default=None, repr=False)
    storage_url: str | None = field(default=None, repr=False)
    workers: int = 1
    retention_hours: float = 24.0
    max_retention_hours: float = 168.0
    host: str = "127.0.0.1"
    port: int = 8000
    api_processes: int = 1
    max_file_size_mb: int = 500
    max_duration_s: float = 3600.0
    allowed_extensions: tuple[str, ...] = AUDIO_EXTENSIONS
    allowed_hosts: tuple[str, ...] = ("*",)
    cors_origins: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    source_urls: bool = False
    webhook_secret: str | None = field(default=None, repr=False)
    max_queued: int = 1000
    requests_per_minute: int = 600
    failed_attempts_per_minute: int = 20
    jwt_issuer: str | None = None
    jwt_audience: str | None = None
    jwt_jwks_url: str | None = None
    jwt_tenant_claim: str = "sub"
    jwt_scope_prefix: str = ""
    clamd_url: str | None = None
    antivirus: Literal["off", "required"] = "off"
    job_time_limit_s: float = 3600.0
    job_memory_mb: int = 3072
    grace_s: float = 30.0
    metrics_port: int | None = None
    otlp_endpoint: str | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Settings:
        """Read the settings; an empty variable counts as one that is not set.

        Raises:
            ConfigurationError: naming the variable that is wrong, or that is missing to another.
        """
        read = _Reader(environ)
        own_folder = Path(platformdirs.user_data_dir("spleeter-microservice"))
        checkpoints = read.text("MODEL_PATH")
        settings = cls(
            models_dir=read.path(
                "SPLEETER_MODELS_DIR", read.path("SPLEETER_DATA_DIR", own_folder) / "models"
            ),
            models_url=read.text("SPLEETER_MODELS_URL"),
            checkpoints_dir=Path(checkpoints) if checkpoints else None,
            data_dir=read.path("SPLEETER_DATA_DIR", cls.data_dir),
            env=cast(Environment, read.choice("SPLEETER_ENV", *get_args(Environment))),
            log_level=cast(LogLevel, read.choice("SPLEETER_LOG_LEVEL", "info", *get_args(LogLevel))),
            api_key=read.text("SPLEETER_API_KEY"),
            database_url=read.text("SPLEETER_DATABASE_URL"),
            storage_url=read.text("SPLEETER_STORAGE_URL"),
            workers=read.whole("SPLEETER_WORKERS", cls.workers, most=256),
            retention_hours=read.number("SPLEETER_RETENTION_HOURS", cls.retention_hours),
            max_retention_hours=read.number("SPLEETER_MAX_RETENTION_HOURS", cls.max_retention_hours),
            host=read.text("SPLEETER_HOST") or cls.host,
            port=read.whole("SPLEETER_PORT", cls.port, most=65535),
            api_processes=read.whole("SPLEETER_API_PROCESSES", cls.api_processes, most=256),
            max_file_size_mb=read.whole("SPLEETER_MAX_FILE_SIZE_MB", cls.max_file_size_mb),
            max_duration_s=read.number("SPLEETER_MAX_DURATION_S", cls.max_duration_s),
            allowed_extensions=_endings(read.names("SPLEETER_ALLOWED_EXTENSIONS", cls.allowed_extensions)),
            allowed_hosts=read.names("SPLEETER_ALLOWED_HOSTS", cls.allowed_hosts),
            cors_origins=read.names("SPLEETER_CORS_ORIGINS", cls.cors_origins),
            trusted_proxies=read.names("SPLEETER_TRUSTED_PROXIES", cls.trusted_proxies),
            source_urls=read.choice("SPLEETER_SOURCE_URLS", "off", "on") == "on",
            webhook_secret=read.text("SPLEETER_WEBHOOK_SECRET"),
            max_queued=read.whole("SPLEETER_MAX_QUEUED", cls.max_queued),
            requests_per_minute=read.whole("SPLEETER_REQUESTS_PER_MINUTE", cls.requests_per_minute),
            failed_attempts_per_minute=read.whole(
                "SPLEETER_FAILED_ATTEMPTS_PER_MINUTE", cls.failed_attempts_per_minute
            ),
            jwt_issuer=read.text("SPLEETER_JWT_ISSUER"),
            jwt_audience=read.text("SPLEETER_JWT_AUDIENCE"),
            jwt_jwks_url=read.text("SPLEETER_JWT_JWKS_URL"),
            jwt_tenant_claim=read.text("SPLEETER_JWT_TENANT_CLAIM") or cls.jwt_tenant_claim,
            jwt_scope_prefix=read.text("SPLEETER_JWT_SCOPE_PREFIX") or "",
            clamd_url=read.text("SPLEETER_CLAMD_URL"),
            antivirus=cast(Literal["off", "required"], read.choice("SPLEETER_ANTIVIRUS", "off", "required")),
            job_time_limit_s=read.number("SPLEETER_JOB_TIME_LIMIT_S", cls.job_time_limit_s),
            job_memory_mb=read.whole("SPLEETER_JOB_MEMORY_MB", cls.job_memory_mb, least=512),
            grace_s=read.number("SPLEETER_GRACE_S", cls.grace_s),
            metrics_port=read.whole("SPLEETER_METRICS_PORT", 0, least=0, most=65535) or None,
            otlp_endpoint=read.text("OTEL_EXPORTER_OTLP_ENDPOINT"),
        )
        settings.check()
        return settings

    def check(self) -> None:
        """See that the settings go together.

        Raises:
            ConfigurationError: naming the variables that do not.
        """
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
                f"Bearer tokens need {', '.join(missing)}, too. Set all of SPLEETER_JWT_ISSUER, "
                "SPLEETER_JWT_AUDIENCE and SPLEETER_JWT_JWKS_URL, or none."
            )
        if self.antivirus == "required" and not self.clamd_url:
            raise ConfigurationError(
                "SPLEETER_ANTIVIRUS=required needs a scanner. Set SPLEETER_CLAMD_URL to tcp://host:3310 or "
                "unix:///path."
            )
        if self.otlp_endpoint and not self.otlp_endpoint.startswith(("http://", "https://")):
            raise ConfigurationError(
                "OTEL_EXPORTER_OTLP_ENDPOINT must begin with http:// or https://, as in http://collector:4318"
            )

    @property
    def accepts_tokens(self) -> bool:
        """Whether bearer tokens are set up."""
        return self.jwt_issuer is not None


class _Reader:
    """Reads variables, and names the one that is wrong."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def text(self, name: str) -> str | None:
        value = self._environ.get(name, "").strip()
        if "\0" in value or "\n" in value:
            raise ConfigurationError(f"{name} has a line break or a zero byte in it. Write it in one line.")
        return value or None

    def path(self, name: str, default: Path) -> Path:
        value = self.text(name)
        return Path(value).expanduser() if value else default

    def choice(self, name: str, default: str, *others: str) -> str:
        value = (self.text(name) or default).lower()
        choices = dict.fromkeys((default, *others))
        if value not in choices:
            raise ConfigurationError(f"{name} is {value!r}. It can be {' or '.join(choices)}.")
        return value

    def whole(self, name: str, default: int, *, least: int = 1, most: int = _LARGEST) -> int:
        value = self.text(name)
        if value is None:
            return default
        if not (value.isascii() and value.isdecimal() and len(value) < 12 and least <= int(value) <= most):
            raise ConfigurationError(
                f"{name} is {value!r}. It must be a whole number from {least} to {most}."
            )
        return int(value)

    def number(self, name: str, default: float) -> float:
        value = self.text(name)
        if value is None:
            return default
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not 0 < number <= _LARGEST:
            raise ConfigurationError(
                f"{name} is {value!r}. It must be a number above 0, such as {default:g}."
            )
        return number

    def names(self, name: str, default: tuple[str, ...]) -> tuple[str, ...]:
        value = self.text(name)
        return tuple(part.strip() for part in value.split(",") if part.strip()) if value else default


def _endings(names: tuple[str, ...]) -> tuple[str, ...]:
    endings = tuple(name.lower().removeprefix(".") for name in names)
    for ending in endings:
        if not (ending.isascii() and ending.isalnum()):
            raise ConfigurationError(
                f"SPLEETER_ALLOWED_EXTENSIONS names {ending!r}. Write endings of file names, as in wav,mp3."
            )
    return endings
