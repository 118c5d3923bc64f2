"""What all processes share is loaded before the folder of their metrics is known."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from spleeter_microservice.access.key_format import is_generated
from spleeter_microservice.access.keys import parse_configured
from spleeter_microservice.bootstrap import shared
from spleeter_microservice.errors import ConfigurationError
from spleeter_microservice.settings import Settings

PROBE = """
import sys
import spleeter_microservice.bootstrap.shared, spleeter_microservice.bootstrap.tokens
import spleeter_microservice.observability.logs, spleeter_microservice.processes.supervisor
print("spleeter_microservice.observability.metrics" in sys.modules)
"""


def test_metrics_are_not_imported_before_their_folder_is_known() -> None:
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_secrets_of_the_data_folder_are_created_once_and_readable_by_their_owner_only(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    key, seals = shared.development_key(settings), shared.audit_keys(settings)
    assert is_generated(key)
    assert (shared.development_key(settings), shared.audit_keys(settings)) == (key, seals)
    for name in ("development-key", "audit-key"):
        assert (settings.data_dir / name).stat().st_mode & 0o077 == 0
    assert shared.audit_keys(Settings(audit_key=("own", "older"))) == (b"own", b"older")
    assert shared.audit_keys(Settings(database_url="postgresql://host/name")) == ()


def test_a_data_folder_that_cannot_be_written_is_refused_with_the_setting_to_change(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "development-key").mkdir()
    for action, advice in (
        (lambda: shared.make_data_folders(Settings(data_dir=tmp_path / "file")), "SPLEETER_DATA_DIR"),
        (lambda: shared.development_key(Settings(data_dir=tmp_path)), "SPLEETER_API_KEY"),
    ):
        with pytest.raises(ConfigurationError, match=advice):
            action()


def test_a_store_elsewhere_needs_no_folder_for_objects(tmp_path: Path) -> None:
    shared.make_data_folders(Settings(data_dir=tmp_path, storage_url="s3://bucket"))
    assert {folder.name for folder in tmp_path.iterdir()} == {"metrics", "spool", "work"}
    shared.make_data_folders(Settings(data_dir=tmp_path))
    assert (tmp_path / "objects").is_dir()


@pytest.mark.parametrize(
    ("settings", "needed"),
    [
        (Settings(), True),
        (Settings(env="production"), False),
        (Settings(api_key=parse_configured("a-configured-key")), False),
        (Settings(jwt_issuer=("https://issuer.example",)), False),
    ],
)
def test_a_development_key_is_created_only_where_no_caller_could_authenticate(
    settings: Settings, needed: bool
) -> None:
    assert shared.needs_development_key(settings) is needed


def test_addresses_are_signed_with_keys_of_their_own_or_ones_derived_from_those_of_the_audit_log(
    tmp_path: Path,
) -> None:
    settings = Settings(data_dir=tmp_path, signing_key=("new-key-of-the-test", "old-key-of-the-test"))
    assert shared.signed_urls(settings).keys == [b"new-key-of-the-test", b"old-key-of-the-test"]
    database = replace(settings, signing_key=(), database_url="postgresql://db.example/x")
    assert not shared.signed_urls(database).keys
    derived = shared.signed_urls(replace(database, audit_key=("key-of-the-audit-log",)))
    assert len(derived.keys) == 1
    assert b"key-of-the-audit-log" not in derived.keys
    kept = shared.signed_urls(replace(settings, signing_key=()))
    assert kept == shared.signed_urls(replace(settings, signing_key=()))
    assert kept.keys
    off = shared.signed_urls(replace(settings, signed_urls="off"))
    assert (off.keys, off.by_store, shared.signed_urls(settings).by_store) == ((), False, True)
