"""Settings are read in the forms that people write; what is wrong is refused without being repeated."""

from collections.abc import Callable
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict

from spleeter_microservice import setting_values as values
from spleeter_microservice.outgoing.inner_targets import InnerTarget

DATABASES = {
    "postgresql://u:p@h/db": "postgresql://u:p@h/db",
    "postgres://u:p@h:5433/db": "postgresql://u:p@h:5433/db",
    "postgresql+asyncpg://u:p@h/db": "postgresql://u:p@h/db",
    "postgresql+psycopg2://u:p@h/db?sslmode=require": "postgresql://u:p@h/db?sslmode=require",
    "PostgreSQL://u:p@h/db": "postgresql://u:p@h/db",
    "postgresql://u:p@h/db?pgbouncer=true": "postgresql://u:p@h/db",
    "postgresql://u:p@h/db?schema=public&application_name=x": "postgresql://u:p@h/db?application_name=x",
    "postgresql://u:p@h/db?ssl=require&statement_cache_size=0": "postgresql://u:p@h/db?sslmode=require",
    "postgresql://u:p%40%2F%25s@h/db": "postgresql://u:p%40%2F%25s@h/db",
    "postgresql://u:a?b#c:d@h/db?sslmode=disable": "postgresql://u:a?b#c:d@h/db?sslmode=disable",
    "postgresql://u:p@[::1]:5432/db": "postgresql://u:p@[::1]:5432/db",
    "postgresql://u:p@one:5432,two:5433/db?target_session_attrs=any": (
        "postgresql://u:p@one:5432,two:5433/db?target_session_attrs=any"
    ),
    "postgresql://u@/db?host=%2Fvar%2Frun%2Fpostgresql": "postgresql://u@/db?host=%2Fvar%2Frun%2Fpostgresql",
    "postgresql://u@%2Fvar%2Frun/db": "postgresql://u@%2Fvar%2Frun/db",
    "postgresql://u:p@h": "postgresql://u:p@h",
}


@pytest.mark.parametrize("url", DATABASES)
def test_a_database_is_read_as_other_programs_write_it(url: str) -> None:
    read = values.database_url(url)
    assert read == DATABASES[url]
    conninfo_to_dict(read)


def test_the_password_of_a_database_stays_as_it_is() -> None:
    read = values.database_url("postgresql+asyncpg://u:a?b%25c#d@h/db?pgbouncer=true")
    assert conninfo_to_dict(read)["password"] == "a?b%c#d"


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        *(
            (f"{scheme}u:SECRET@h/db", "begin with postgresql://")
            for scheme in ("mysql://", "postgrsql://", "")
        ),
        ("jdbc:postgresql://h/db?password=SECRET", "begin with postgresql://"),
        ("host=h password=SECRET", "begin with postgresql://"),
        ("postgresql:/u:SECRET@h/db", "begin with postgresql://"),
        *(
            (f"postgresql://u:{text}@h/db", "%25")
            for text in ("SECRET%PW", "SECRET%", "SECRET%00", "SECRET x")
        ),
        *((f"postgresql://u:{text}@h/db", "%40") for text in ("SECRET@x", "SECRET/x", "SEC@RET/x")),
        *((f"postgresql://{text}", "no host") for text in ("", "/db", "u:SECRET@/db", ":5432/db", "h,/db")),
        *(
            (f"postgresql://u:SECRET@{host}/db", "host or port")
            for host in ("h:port", "h:0", "h:70000", "h!")
        ),
        ("postgresql://u:SECRET@[::1/db", "host"),
        ("postgresql://u:SECRET@h/db?schema=music", "parameter schema"),
        ("postgresql://u:SECRET@h/db?connection_limit=5", "parameter connection_limit"),
        ("postgresql://u:SECRET@h/db?sslmode=on", "sslmode to disable or"),
        ("postgresql://u:SECRET@h/db?SECRET=1", "parameter"),
        ("postgresql://u:SECRET@h/db?SECRET", "parameter"),
    ],
)
def test_another_database_is_refused_with_advice_and_without_its_password(url: str, advice: str) -> None:
    with pytest.raises(ValueError, match=advice) as caught:
        values.database_url(url)
    assert "SECRET" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


ACCEPTED: list[tuple[Callable[[str], Any], str, Any]] = [
    *((values.storage_url, text, text) for text in ("data/objects", "/srv/x", "file:///srv/x", "C:\\data")),
    *((values.storage_url, text, text) for text in ("s3://b/p", "gs://b", "az://c", "abfs://c@a.dfs.x/p")),
    (values.http_url, "https://user:password@mirror:8443/models", "https://user:password@mirror:8443/models"),
    (values.http_url, "http://[::1]:4318", "http://[::1]:4318"),
    (values.key_set_url, "https://login.example/keys?p=policy", "https://login.example/keys?p=policy"),
    (values.key_set_url, "http://127.0.0.1:8080/keys", "http://127.0.0.1:8080/keys"),
    *((values.listening_host, text, text) for text in ("0.0.0.0", "::", "localhost", "fe80::1%eth0")),
    (values.listening_host, "[::]", "::"),
    *((values.served_host, text, text) for text in ("*", "*.example.org", "api.example.org", "[::1]")),
    (values.served_host, "::1", "[::1]"),
    (values.origin, "https://App.example/", "https://app.example"),
    *((values.origin, text, text) for text in ("*", "http://localhost:3000", "capacitor://localhost")),
    *((values.proxy, text, text) for text in ("*", "10.0.0.7", "fd00::1", "10.1.0.0/16")),
    (values.proxy, "10.1.2.3/16", "10.1.0.0/16"),
    (values.extension, ".WAV", "wav"),
    (InnerTarget.parse, "Hooks.Internal", InnerTarget("hooks.internal")),
    (InnerTarget.parse, "*.svc.cluster.local:8080", InnerTarget("*.svc.cluster.local", 8080)),
    (InnerTarget.parse, "10.1.2.3/16:8080", InnerTarget(ip_network("10.1.0.0/16"), 8080)),
    (InnerTarget.parse, "10.1.2.3", InnerTarget(ip_network("10.1.2.3"))),
    (InnerTarget.parse, "fd00::/8", InnerTarget(ip_network("fd00::/8"))),
    (InnerTarget.parse, "[fd00::1]:8080", InnerTarget(ip_network("fd00::1"), 8080)),
]


@pytest.mark.parametrize(("parse", "text", "value"), ACCEPTED)
def test_a_text_is_read(parse: Callable[[str], Any], text: str, value: object) -> None:
    assert parse(text) == value


REFUSED: list[tuple[Callable[[str], Any], str]] = [
    (
        values.storage_url,
        "ftp:// s3:// s3:/b s3:b file://data/x file:// az://u:p@c s3://key@b s3://b?x=1 sftp://h/x",
    ),
    (
        values.http_url,
        ":: mirror https:// ftp://h http://h:x http://h:99999 http://h:0 http://h?x http://h#x //h",
    ),
    (values.key_set_url, "http://login.example/keys https://u:p@h/keys login.example ftp://h https://"),
    (values.listening_host, "http://0.0.0.0 0.0.0.0:8000 [::]:8000 a,b -x a/b :::"),
    (values.served_host, "https://h h:443 h/path *.*.h a*b"),
    (values.origin, "abc app.example https://h/path https://u:p@h https:// https://h:x https://h?x"),
    (values.proxy, "abc nginx 10.0.0 10.0.0.0/33 10.0.0.1:80 ::/129"),
    (values.extension, "* a.b ä"),
    (InnerTarget.parse, "http://h h:0 h:99999 h:x *. * a..b 10.0.0.0/33 10.0.0 1.2.3.4.5 [::1 h/x"),
    (values.folder, "~nobody-of-this-name/x"),
]


@pytest.mark.parametrize(
    ("parse", "text"), [(parse, text) for parse, texts in REFUSED for text in texts.split()]
)
def test_a_malformed_text_is_refused(parse: Callable[[str], Any], text: str) -> None:
    with pytest.raises(ValueError, match=r"^[A-Z].*\.$"):
        parse(text)


@pytest.mark.parametrize(
    ("target", "host", "address", "admitted"),
    [
        ("hooks.internal", "hooks.internal", "10.0.0.1", True),
        ("hooks.internal", "hooks.internal", "127.0.0.1", True),
        ("hooks.internal", "hooks.internal", "fd00::1", True),
        ("hooks.internal", "other.internal", "10.0.0.1", False),
        ("hooks.internal", "x.hooks.internal", "10.0.0.1", False),
        ("*.internal", "a.b.internal", "10.0.0.1", True),
        ("*.internal", "internal", "10.0.0.1", False),
        ("*.internal", "x-internal", "10.0.0.1", False),
        *(
            ("hooks.internal", "hooks.internal", address, False)
            for address in (
                "169.254.169.254",
                "fe80::1",
                "::ffff:169.254.169.254",
                "100.100.100.200",
                "0.0.0.0",
            )
        ),
        ("10.0.0.0/8", "any.example", "10.2.0.1", True),
        ("10.0.0.0/8", "any.example", "11.2.0.1", False),
        ("10.0.0.0/8", "any.example", "::ffff:10.2.0.1", False),
        ("169.254.169.254", "169.254.169.254", "169.254.169.254", True),
    ],
)
def test_an_inner_target_admits_its_own_addresses_only(
    target: str, host: str, address: str, admitted: bool
) -> None:
    assert InnerTarget.parse(target).admits(host, ip_address(address)) is admitted
