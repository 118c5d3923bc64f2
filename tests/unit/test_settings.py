"""Settings come from the environment, are checked, and do not show secrets."""

import traceback
from pathlib import Path

import platformdirs
import pytest

from spleeter_microservice.errors import ConfigurationError
from spleeter_microservice.settings import Settings, misspelt_variables, variables
from spleeter_microservice.storage.bucket_urls import BucketGrant


def test_an_empty_environment_means_the_defaults_of_a_developer() -> None:
    settings = Settings.from_environment({})
    assert settings == Settings()
    assert (settings.env, settings.host, settings.port) == ("development", "127.0.0.1", 8000)
    assert settings.data_dir == Path("data")


def test_all_commands_use_the_same_models_folder() -> None:
    own = Path(platformdirs.user_data_dir("spleeter-microservice"))
    assert Settings.from_environment({}).models_dir == own / "models"
    assert Settings.from_environment({"SPLEETER_DATA_DIR": "/d"}).models_dir == Path("/d/models")
    both = {"SPLEETER_DATA_DIR": "/d", "SPLEETER_MODELS_DIR": "/m"}
    assert Settings.from_environment(both).models_dir == Path("/m")


def test_an_empty_variable_counts_as_unset() -> None:
    assert Settings.from_environment({"SPLEETER_PORT": " ", "SPLEETER_API_KEY": ""}) == (
        Settings.from_environment({})
    )


def test_lists_are_separated_by_commas() -> None:
    read = Settings.from_environment(
        {"SPLEETER_ALLOWED_EXTENSIONS": ".WAV, mp3", "SPLEETER_CORS_ORIGINS": "https://a.example,"}
    )
    assert read.allowed_extensions == ("wav", "mp3")
    assert read.cors_origins == ("https://a.example",)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SPLEETER_ENV", "staging"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"),
        ("SPLEETER_LOG_LEVEL", "loud"),
        ("SPLEETER_PORT", "eighty"),
        ("SPLEETER_PORT", "65536"),
        ("SPLEETER_WORKERS", "0"),
        ("SPLEETER_WORKERS", "-1"),
        ("SPLEETER_MAX_DURATION_S", "nan"),
        ("SPLEETER_MAX_DURATION_S", "0"),
        ("SPLEETER_GRACE_S", "soon"),
        ("SPLEETER_RETENTION_HOURS", "1e300"),
        ("SPLEETER_SOURCE_URLS", "perhaps"),
        ("SPLEETER_ALLOWED_EXTENSIONS", "wav,*"),
        ("SPLEETER_ANTIVIRUS", "on"),
        ("SPLEETER_JWT_ISSUER", "https://issuer.example"),
        ("SPLEETER_RETENTION_HOURS", "200"),
        ("SPLEETER_HOST", "a\nb"),
        ("SPLEETER_MAX_RETENTION_HOURS", "1e8"),
        ("SPLEETER_DATABASE_URL", "mysql://x"),
        ("SPLEETER_STORAGE_URL", "ftp://x"),
        ("SPLEETER_MODELS_URL", "::"),
        ("SPLEETER_CLAMD_URL", "foo"),
        ("SPLEETER_TRUSTED_PROXIES", "10.0.0.1,abc"),
        ("SPLEETER_CORS_ORIGINS", "abc"),
        ("SPLEETER_ALLOWED_HOSTS", "https://example.com"),
        ("SPLEETER_INNER_TARGETS", "http://hooks.internal"),
        ("SPLEETER_JWT_JWKS_URL", "http://issuer.example/keys"),
        ("SPLEETER_WEBHOOK_SECRET", "abc"),
        ("SPLEETER_BUCKETS", "songs"),
        ("SPLEETER_SIGNED_URLS", "on"),
        ("SPLEETER_SIGNED_URL_S", "604801"),
        ("SPLEETER_SIGNING_KEY", "short"),
        ("SPLEETER_API_KEY", "short"),
        ("SPLEETER_API_KEY", "long-enough,short"),
        ("SPLEETER_DATA_DIR", "~nobody-of-this-name/data"),
    ],
)
def test_an_invalid_value_is_refused_with_the_name_of_its_variable(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        Settings.from_environment({name: value})


def test_callers_may_not_name_the_place_of_the_services_own_objects() -> None:
    own = {"SPLEETER_STORAGE_URL": "s3://songs/service"}
    with pytest.raises(ConfigurationError, match="SPLEETER_BUCKETS lists"):
        Settings.from_environment(own | {"SPLEETER_BUCKETS": "s3://songs"})
    read = Settings.from_environment(own | {"SPLEETER_BUCKETS": "s3://other/{tenant}, ann=gs://songs"})
    assert read.buckets == (BucketGrant("s3://other/{tenant}"), BucketGrant("gs://songs", "ann"))


def test_a_required_scanner_needs_an_address() -> None:
    with pytest.raises(ConfigurationError, match="SPLEETER_CLAMD_URL"):
        Settings.from_environment({"SPLEETER_ANTIVIRUS": "required"})


def test_all_invalid_values_are_reported_together_one_a_line_without_secrets() -> None:
    wrong = {variable.name: "\x01" for variable in variables()}
    free = {"MODEL_PATH", "SPLEETER_DATA_DIR", "SPLEETER_MODELS_DIR", "SPLEETER_STORAGE_URL"}  # any path
    free |= {name for name in wrong if name.startswith("SPLEETER_JWT_") and not name.endswith("_URL")}
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_environment(wrong | dict.fromkeys(free, ""))
    lines = str(caught.value).splitlines()
    assert [line.split()[0] for line in lines] == [name for name in wrong if name not in free]
    assert caught.value.report().splitlines() == [f"Error: {line}" for line in lines]


def test_no_secret_appears_in_printed_settings_or_errors_whatever_form_it_has() -> None:
    """A new setting that may hold a secret is covered by being declared as one."""
    secret = [variable for variable in variables() if variable.secret]
    forms = "{} {}{} {}, http://u:{}@h/{} ://{}@ postgresql://u:{}%@h postgresql://{}@{}@h s3://{}:{}@h tcp://{}@h"
    for form in forms.split():
        text = form.replace("{}", "sesame")
        for variable in secret:
            try:
                shown = repr(Settings.from_environment({variable.name: text}))
            except ConfigurationError as error:
                shown = "".join(traceback.format_exception(error))
            assert "sesame" not in shown, (variable.name, form)
    assert {"SPLEETER_API_KEY", "SPLEETER_DATABASE_URL", "SPLEETER_WEBHOOK_SECRET"} <= {
        variable.name for variable in secret
    }


def test_a_misspelt_variable_is_named_with_the_nearest_setting_but_not_what_kubernetes_sets() -> None:
    environ = {
        "SPLEETER_API_KEYS": "sesame",
        "spleeter_port": "8001",
        "SPLEETER_XYZ": "1",
        "SPLEETER_ENV": "production",
        "SPLEETER_SERVICE_HOST": "10.0.0.1",
        "SPLEETER_SERVICE_PORT_HTTP": "8000",
        "SPLEETER_PORT_8000_TCP": "tcp://10.0.0.1:8000",
        "SPLEETER_PORT_8000_TCP_ADDR": "10.0.0.1",
        "SPLEETER_API_PORT": "tcp://10.0.0.1:8000",
        "OTHER": "x",
    }
    assert list(misspelt_variables(environ)) == [
        "SPLEETER_API_KEYS is not a setting and has no effect. Did you mean SPLEETER_API_KEY?",
        "SPLEETER_XYZ is not a setting and has no effect.",
        "spleeter_port is not a setting and has no effect. Did you mean SPLEETER_PORT?",
    ]
    assert Settings.from_environment({"SPLEETER_PORT": "tcp://10.0.0.1:8000"}).port == 8000


@pytest.mark.parametrize("part", ["the API", "a worker"])
def test_a_part_of_the_service_that_runs_alone_needs_a_database(part: str) -> None:
    with pytest.raises(ConfigurationError, match=f"SPLEETER_DATABASE_URL is not set, and {part}"):
        Settings().require_database(part)
