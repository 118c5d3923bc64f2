"""compose.yaml fits the Compose specification, and says what the documents say."""

import json
import re
from pathlib import Path
from typing import Any

import compose_spec
import pytest
import yaml

from spleeter_microservice.settings import variables

ROOT = Path(__file__).parents[3]
OURS = ("spleeter", "api", "worker")
# Set in the file itself, or meant for the shell and not for containers.
FIXED = {"SPLEETER_DATA_DIR", "SPLEETER_HOST", "SPLEETER_PORT", "SPLEETER_METRICS_PORT"}


VARIABLE = re.compile(r"\$\{\w+:([-?])([^}]*)\}")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def substituted(compose: dict[str, Any]) -> dict[str, Any]:
    """The file with what variables stand for when only those that must be set are."""
    text = VARIABLE.sub(lambda found: found[2] if found[1] == "-" else "given", json.dumps(compose))
    assert "$" not in text
    found: dict[str, Any] = json.loads(text)
    return found


def test_the_file_fits_the_specification(substituted: dict[str, Any]) -> None:
    compose_spec.PyCompose.from_json(json.dumps(substituted))


def test_a_key_that_does_not_exist_is_found(substituted: dict[str, Any]) -> None:
    """Or the specification would be of no use."""
    wrong = {**substituted["services"]["spleeter"], "read_onli": True}
    with pytest.raises(ValueError, match="read_onli"):
        compose_spec.PyCompose.from_json(json.dumps({"services": {"spleeter": wrong}}))


def test_the_service_is_the_one_that_the_mission_names(compose: dict[str, Any]) -> None:
    service = compose["services"]["spleeter"]
    assert "profiles" not in service
    assert service["ports"] == ["${SPLEETER_BIND:-0.0.0.0}:8000:8000"]
    assert service["volumes"] == ["./data:/data:z"]
    assert service["restart"] == "unless-stopped"
    assert service["environment"]["SPLEETER_ENV"] == "production"
    assert service["environment"]["SPLEETER_API_KEY"].startswith("${SPLEETER_API_KEY:?")


def require_confinement(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert not service.keys() & {"privileged", "devices", "ipc", "network_mode", "pid", "userns_mode"}
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["pids_limit"] > 0
        assert service["mem_limit"]
        if (
            name in OURS
        ):  # start as root, which makes /data theirs; scripts/unprivileged.py then drops all that
            assert service["cap_add"] == ["CHOWN", "SETGID", "SETPCAP", "SETUID"]
            assert "user" not in service
        else:
            assert "cap_add" not in service
            assert service["user"] not in ("0", "root")


def test_every_container_is_confined(compose: dict[str, Any]) -> None:
    require_confinement(compose["services"])


def test_a_container_that_is_not_confined_is_found(compose: dict[str, Any]) -> None:
    with pytest.raises(KeyError):
        require_confinement({**compose["services"], "more": {"image": "more"}})


def test_the_socket_that_the_image_of_clamav_waits_for_is_configured(compose: dict[str, Any]) -> None:
    """Its entry point gives up after half an hour otherwise, although clamd answers on its port."""
    settings = (ROOT / "deploy" / "clamav" / "clamd.conf").read_text(encoding="utf-8")
    assert "LocalSocket /tmp/clamd.sock" in settings.splitlines()
    assert compose["services"]["clamav"]["entrypoint"] == ["/init-unprivileged"]


@pytest.mark.parametrize("name", OURS)
def test_every_setting_is_passed_on_to_our_containers(compose: dict[str, Any], name: str) -> None:
    known = {variable.name for variable in variables()}
    assert known - FIXED <= compose["services"][name]["environment"].keys()


CREDENTIALS = (
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_ENDPOINT"),
    *("GOOGLE_SERVICE_ACCOUNT_KEY", "GOOGLE_APPLICATION_CREDENTIALS"),
    *("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"),
)


@pytest.mark.parametrize("name", OURS)
def test_the_credentials_of_every_cloud_are_passed_on_to_our_containers(
    compose: dict[str, Any], name: str
) -> None:
    environment = compose["services"][name]["environment"]
    assert {variable: environment[variable] for variable in CREDENTIALS} == dict.fromkeys(CREDENTIALS)


def test_the_missions_own_file_fits_the_specification() -> None:
    """It is in the repository as it was given, and CI starts it as it is."""
    compose_spec.PyCompose.from_yaml(
        (ROOT / "deploy" / "minimal" / "compose.yaml").read_text(encoding="utf-8")
    )


def test_profiles_are_those_of_the_documents(compose: dict[str, Any]) -> None:
    profiles = {name: service.get("profiles", []) for name, service in compose["services"].items()}
    assert profiles == {
        "spleeter": [],
        "clamav": ["clamav"],
        "database": ["fleet"],
        "api": ["fleet"],
        "worker": ["fleet"],
    }


def test_what_is_mounted_from_here_is_here(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            if source.startswith("./") and source != "./data":
                assert (ROOT / source).is_file()
            elif not source.startswith("."):
                assert source in compose["volumes"]
