"""Parsers of the texts of settings.

A parser returns a setting's value, or raises a ``ValueError`` that says how to write it. The message never
repeats the text, which may be a secret.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from importlib.util import find_spec
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import TypeVar
from urllib.parse import SplitResult, quote, urlsplit

from spleeter_microservice.errors import ConfigurationError

T = TypeVar("T")

LARGEST = 1 << 31
LONGEST_RETENTION = 876_000.0
"""Hours; a hundred years, after which dates may have five digits."""

_SHORTEST_SEAL = 16  # characters
_HOST = re.compile(r"(?!-)[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?", re.ASCII)
_OBJECT_STORES = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl")
_CONTAINER_SCHEMES = ("abfs", "abfss")  # abfs://CONTAINER@ACCOUNT.dfs.core.windows.net

# As libpq reads it, except that it would take the rest of a password after an @ or a / for a host.
_DATABASE = re.compile(r"([^@/]*@)?(?P<hosts>[^@/?]*)(/[^@/?]*)?(\?(?P<query>[^@]*))?")
_ESCAPE = re.compile(r"%(?!00)[0-9A-Fa-f]{2}")
_DATABASE_EXAMPLE = "as in postgresql://user:password@host:5432/database"
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_DATABASE_CHOICES = {
    "sslmode": _SSL_MODES,
    "channel_binding": ("disable", "prefer", "require"),
    "target_session_attrs": ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
}
_CACHE_SIZES = ("pgbouncer", "statement_cache_size", "prepared_statement_cache_size")
_SCHEMAS = ("schema", "currentSchema")
_FOREIGN = (
    *_SCHEMAS,
    *("connection_limit", "pool_timeout", "socket_timeout", "sslaccept", "search_path", "serverVersion"),
    *("charset", "prepareThreshold", "pool_size", "pool_max_conns", "max_overflow", "timezone"),
)
"""Parameters of other libraries, which a message may name: any other text may be part of a password."""


def whole(minimum: int = 1, maximum: int = LARGEST) -> Callable[[str], int]:
    """Return a parser of whole numbers in a range."""

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and len(text) < 12 and minimum <= int(text) <= maximum):
            raise ValueError(f"Set it to a whole number from {minimum} to {maximum}.")
        return int(text)

    return parse


def positive(maximum: float = LARGEST) -> Callable[[str], float]:
    """Return a parser of numbers greater than 0."""

    def parse(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not 0 < number <= maximum:
            raise ValueError(f"Set it to a number greater than 0 and at most {maximum:.0f}.")
        return number

    return parse


def one_of(*choices: T) -> Callable[[str], T]:
    """Return a parser of one of several words, in upper or lower case."""

    def parse(text: str) -> T:
        for choice in choices:
            if text.lower() == choice:
                return choice
        raise ValueError(f"Set it to {' or '.join(map(str, choices))}.")

    return parse


def switch(text: str) -> bool:
    """Parse ``on`` or ``off``."""
    return one_of("off", "on")(text) == "on"


def folder(text: str) -> Path:
    """Parse a path; ``~`` stands for the home directory."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError(
            "It begins with ~ and a user without a home directory. Write the whole path."
        ) from None


def names(text: str) -> tuple[str, ...]:
    """Parse names separated by commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def listed(parse: Callable[[str], T]) -> Callable[[str], tuple[T, ...]]:
    """Return a parser of values separated by commas."""
    return lambda text: tuple(parse(name) for name in names(text))


def extension(text: str) -> str:
    """Parse a file extension, with or without its dot."""
    bare = text.lower().removeprefix(".")
    if not (bare.isascii() and bare.isalnum()):
        raise ValueError("Write file extensions as in wav,mp3.")
    return bare


def checked(read: Callable[[str], T]) -> Callable[[str], T]:
    """Return a parser that does the same as ``read``, which raises a ``ConfigurationError`` instead."""

    def parse(text: str) -> T:
        try:
            return read(text)
        except ConfigurationError as error:
            raise ValueError(str(error)) from None

    return parse


def path_prefix(text: str) -> str:
    """Parse the beginning of a path; a slash at its end is dropped."""
    prefix = text.rstrip("/")
    if quote(prefix) != prefix or prefix[:1] != "/" or "//" in prefix:
        raise ValueError("Set it to a path such as /stems.")
    return prefix


def http_url(text: str) -> str:
    """Parse the address of a server, to which paths are appended."""
    parts = _split(text)
    if not _is_web(parts) or parts.query or parts.fragment:
        raise ValueError(
            "It must begin with http:// or https:// and a host, without a query, as in https://example.com/path."
        )
    return text


def key_set_url(text: str) -> str:
    """Parse the address of an issuer's keys: https, or http on this machine."""
    parts = _split(text)
    secure = parts.scheme == "https" or _is_loopback(parts)
    if not _is_web(parts) or not secure or parts.username is not None:
        raise ValueError(
            "Set it to the issuer's https URL, without a user name: keys fetched over plain http could be "
            "forged."
        )
    return text


def storage_url(text: str) -> str:
    """Parse the place of an object store: a directory, or the URL of a bucket."""
    parts, scheme = _split(text), text.partition(":")[0].lower() if ":" in text else ""
    if len(scheme) < 2 or scheme == "memory":  # a single letter is a drive of Windows
        return text
    local = scheme == "file" and parts.netloc == "" and len(parts.path) > 1
    bucket = scheme in _OBJECT_STORES and parts.hostname and parts.password is None
    if parts.query or parts.fragment or not (local or bucket):
        raise ValueError(
            "Set it to a directory, or to a URL such as s3://bucket/prefix, gs://bucket or az://container, "
            "without a password or a query: credentials come from the cloud's own variables."
        )
    if parts.username is not None and scheme not in _CONTAINER_SCHEMES:
        raise ValueError("Remove what precedes the @: credentials come from the cloud's own variables.")
    return text


def database_url(text: str) -> str:
    """Parse the URL of a PostgreSQL database, also as SQLAlchemy, Prisma and others write it.

    Returns:
        the URL in libpq's form.
    """
    scheme, separator, rest = text.partition("://")
    if not separator or scheme.lower().partition("+")[0] not in ("postgresql", "postgres"):
        raise ValueError(f"It must begin with postgresql://, {_DATABASE_EXAMPLE}.")
    parts = _DATABASE.fullmatch(rest)
    if not parts or "%" in _ESCAPE.sub("", rest) or not rest.isprintable() or " " in rest:
        raise ValueError(
            f"Write it {_DATABASE_EXAMPLE}, with %25 for a % in the password, %40 for @, %2F for / and %20 "
            "for a space."
        )
    parameters = _database_parameters(parts["query"] or "")
    address = rest if parts["query"] is None else rest[: parts.start("query") - 1]
    url = f"postgresql://{address}{'?' if parameters else ''}{'&'.join(parameters)}"
    _check_with_libpq(url)
    return url


def _database_parameters(query: str) -> list[str]:
    """Return the parameters for libpq, without those by which other libraries choose what we do anyway."""
    kept = []
    for parameter in filter(None, query.split("&")):
        name, _, value = parameter.partition("=")
        if name in _CACHE_SIZES or (name in _SCHEMAS and value == "public"):
            continue
        if name in _FOREIGN:
            raise ValueError(f"Remove the parameter {name}, which PostgreSQL's own client library lacks.")
        if name == "ssl" and value in _SSL_MODES:
            name = "sslmode"
        if name in _DATABASE_CHOICES and value not in _DATABASE_CHOICES[name]:
            raise ValueError(f"Set its parameter {name} to {' or '.join(_DATABASE_CHOICES[name])}.")
        kept.append(f"{name}={value}")
    return kept


def _check_with_libpq(url: str) -> None:
    """Check a URL as libpq reads it; libpq is missing only if the service, which needs a database, is."""
    if find_spec("psycopg") is None:
        return
    # Imported lazily: it takes 0.2 s, and most commands have no database.
    from psycopg import ProgrammingError  # noqa: PLC0415
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415

    try:
        found = conninfo_to_dict(url)
    except ProgrammingError:  # its message quotes the URL
        raise ValueError(
            "It has a parameter that PostgreSQL's client library does not know. Write it "
            f"{_DATABASE_EXAMPLE}."
        ) from None
    hosts, ports = (str(found.get(name, "")).split(",") for name in ("host", "port"))
    if not all(hosts) and not found.keys() & {"hostaddr", "service"}:
        raise ValueError(
            f"It names no host. Write it {_DATABASE_EXAMPLE}, or with ?host=/var/run/postgresql for a local "
            "socket."
        )
    valid = all(host.startswith(("/", "@")) or _is_host(host) for host in filter(None, hosts))  # or sockets
    if not valid or not all(map(_is_port, filter(None, ports))):
        raise ValueError(f"Its host or port is invalid. Write it {_DATABASE_EXAMPLE}.")


def listening_host(text: str) -> str:
    """Parse the address or name that a server listens on; brackets around IPv6 addresses are removed."""
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if not _is_host(bare):
        raise ValueError("Set it to an IP address or a host name, without a port: 127.0.0.1, 0.0.0.0 or ::.")
    return bare


def served_host(text: str) -> str:
    """Parse a value of the ``Host`` header, without its port."""
    bare = text.removeprefix("*.").removeprefix("[").removesuffix("]")
    if text != "*" and not _is_host(bare):
        raise ValueError("Write host names without a scheme or port, as in example.com,*.example.org, or *.")
    return f"[{bare}]" if ":" in bare else text


def origin(text: str) -> str:
    """Parse the origin of a web page; a final slash is removed."""
    bare = text.lower().removesuffix("/")
    parts = _split(bare)
    if bare != "*" and (not parts.hostname or "@" in bare or bare != f"{parts.scheme}://{parts.netloc}"):
        raise ValueError("Write origins with their scheme and without a path, as in https://example.com.")
    return bare


def proxy(text: str) -> str:
    """Parse the address or network of a proxy, or ``*`` for any."""
    if text == "*":
        return text
    try:
        return str(ip_network(text, strict=False)) if "/" in text else str(ip_address(text))
    except ValueError:
        raise ValueError(
            "Write IP addresses or networks, as in 10.0.0.7,10.1.0.0/16, or * for any."
        ) from None


def secret_keys(text: str) -> tuple[str, ...]:
    """Parse secret keys separated by commas."""
    found = names(text)
    if any(len(key) < _SHORTEST_SEAL for key in found):
        raise ValueError(f"Each key needs {_SHORTEST_SEAL} characters or more: openssl rand -hex 32")
    return found


def _split(text: str) -> SplitResult:
    """Split a URL; one whose host or port is malformed has no parts."""
    try:
        parts = urlsplit(text)
        valid = parts.port is None or parts.port > 0
    except ValueError:
        valid = False
    spaced = not text.isprintable() or " " in text
    return parts if valid and not spaced else SplitResult("", "", "", "", "")


def _is_web(parts: SplitResult) -> bool:
    return parts.scheme in ("http", "https") and _is_host(parts.hostname or "")


def _is_loopback(parts: SplitResult) -> bool:
    try:
        return ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return parts.hostname == "localhost"


def _is_host(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return _HOST.fullmatch(text) is not None
    return True


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and 0 < int(text[:6]) < 65536
