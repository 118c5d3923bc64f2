"""The manifests fit Kubernetes's schemas, and are as confined and as named as the documents say."""

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from spleeter_microservice.settings import Settings
from tests.support.kubernetes_manifests import OVERLAYS, pods, rendered

VERSIONS = ("1.29", "1.37")
"""Of Kubernetes, the oldest and the newest that the manifests are for."""
_PUT_BACK_SECONDS = 30


@pytest.fixture(scope="module", params=["single", "fleet"])
def resources(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    return rendered(OVERLAYS / request.param)


@pytest.fixture(scope="module")
def autoscaled(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The fleet with the component that its file has in a comment."""
    folder = OVERLAYS / "fleet"
    text = (folder / "kustomization.yaml").read_text(encoding="utf-8")
    place = tmp_path_factory.mktemp("kubernetes")
    _copy(OVERLAYS.parent, place)
    with_component = text.replace("# components:", "components:").replace("#   - ../..", "  - ../..")
    assert with_component != text
    (place / "overlays" / "fleet" / "kustomization.yaml").write_text(with_component, encoding="utf-8")
    return rendered(place / "overlays" / "fleet")


def _copy(source: Path, place: Path) -> None:
    for path in source.rglob("*.yaml"):
        target = place / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())


@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_fits_its_schema(resources: list[dict[str, Any]], version: str) -> None:
    for resource in resources:
        kubernetes_validate.validate(resource, version, strict=True)


def test_the_autoscaled_fleet_fits_and_leaves_the_number_of_workers_to_it(
    autoscaled: list[dict[str, Any]],
) -> None:
    for resource in autoscaled:
        kubernetes_validate.validate(resource, VERSIONS[-1], strict=True)
    (worker,) = (
        item
        for item in autoscaled
        if item["kind"] == "Deployment" and item["metadata"]["name"] == "spleeter-worker"
    )
    assert "replicas" not in worker["spec"]
    assert "HorizontalPodAutoscaler" in {item["kind"] for item in autoscaled}


def test_a_field_that_does_not_exist_is_found(resources: list[dict[str, Any]]) -> None:
    """Or the schemas would be of no use."""
    wrong = {**resources[0], "spec": {"finalisers": []}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_the_names_that_the_mission_fixes_are_there(resources: list[dict[str, Any]]) -> None:
    template = pods(resources)["spleeter-microservice"]
    assert template["metadata"]["labels"]["app"] == "spleeter"
    (claim,) = (volume for volume in template["spec"]["volumes"] if "persistentVolumeClaim" in volume)
    assert claim["persistentVolumeClaim"]["claimName"] == "spleeter-pvc"
    (container,) = template["spec"]["containers"]
    mounted = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    assert mounted["/data"] == claim["name"]
    key = next(item for item in container["env"] if item["name"] == "SPLEETER_API_KEY")
    assert key["valueFrom"]["secretKeyRef"]["name"] == "spleeter-secrets"


def test_every_pod_is_confined(resources: list[dict[str, Any]]) -> None:
    """As the level "restricted" of Kubernetes's pod security standards asks, and a step further."""
    for template in pods(resources).values():
        spec = template["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False, "SPLEETER_PORT might come from a Service"
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
        for container in spec["containers"]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert {"cpu", "memory"} <= container["resources"]["limits"].keys()
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
            assert "livenessProbe" in container
            assert "startupProbe" in container


def test_what_is_mounted_is_a_volume_and_what_is_probed_is_a_port(resources: list[dict[str, Any]]) -> None:
    for template in pods(resources).values():
        volumes = {volume["name"] for volume in template["spec"]["volumes"]}
        for container in template["spec"]["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} == volumes
            ports = {port["name"] for port in container["ports"]}
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                assert probe not in container or container[probe]["httpGet"]["port"] in ports


def test_settings_are_ones_that_the_program_knows(resources: list[dict[str, Any]]) -> None:
    settings = next(item for item in resources if item["kind"] == "ConfigMap")["data"]
    known = Settings.from_environment({"SPLEETER_API_KEY": "not-to-be-guessed-01", **settings})
    assert known.env == "production"


def test_pods_are_given_the_time_that_draining_takes(resources: list[dict[str, Any]]) -> None:
    """Running jobs have their grace; whoever still runs then is waited for; PostgreSQL stops last."""
    settings = next(item for item in resources if item["kind"] == "ConfigMap")["data"]
    drain = float(settings["SPLEETER_GRACE_S"]) + _PUT_BACK_SECONDS
    for template in pods(resources).values():
        (container,) = template["spec"]["containers"]
        if container.get("args") in (["serve"], ["worker"]):
            assert template["spec"]["terminationGracePeriodSeconds"] >= drain


def test_the_service_reaches_the_api_alone(resources: list[dict[str, Any]]) -> None:
    (service,) = (item for item in resources if item["kind"] == "Service")
    selected = [
        name
        for name, template in pods(resources).items()
        if service["spec"]["selector"].items() <= template["metadata"]["labels"].items()
    ]
    assert selected == ["spleeter-microservice"]
    assert service["spec"]["ports"][0]["port"] == 8000
    assert service["metadata"]["name"] != "spleeter", "its pods would get SPLEETER_PORT"
