"""Settings come from the environment, are checked, and do not show secrets."""

from pathlib import Path

import platformdirs
import pytest

from spleeter_microservice.errors import ConfigurationError
from spleeter_microservice.settings import Settings


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
    ],
)
def test_an_invalid_value_is_refused_with_the_name_of_its_variable(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        Settings.from_environment({name: value})


def test_a_required_scanner_needs_an_address() -> None:
    with pytest.raises(ConfigurationError, match="SPLEETER_CLAMD_URL"):
        Settings.from_environment({"SPLEETER_ANTIVIRUS": "required"})


def test_printed_settings_show_no_secret() -> None:
    secrets = ("SPLEETER_API_KEY", "SPLEETER_DATABASE_URL", "SPLEETER_STORAGE_URL", "SPLEETER_WEBHOOK_SECRET")
    assert "sesame" not in repr(Settings.from_environment(dict.fromkeys(secrets, "sesame")))
