"""The manifests fit Kubernetes's schemas, and are as confined and as named as the documents say."""

import shutil
from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from typing import Any

import kubernetes_validate
import pytest
import yaml

from spleeter_microservice.settings import Settings
from tests.support.kubernetes_manifests import OVERLAYS, pod_specs, pods, rendered

VERSIONS = ("1.29", "1.37")
"""Of Kubernetes, the oldest and the newest that the manifests are for."""
_PUT_BACK_SECONDS = 30


@pytest.fixture(scope="module", params=["single", "fleet"])
def resources(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    return rendered(OVERLAYS / request.param)


@pytest.fixture(scope="module")
def with_components(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The fleet with all components that its file has in comments."""
    folder = OVERLAYS / "fleet"
    text = (folder / "kustomization.yaml").read_text(encoding="utf-8")
    place = tmp_path_factory.mktemp("kubernetes")
    shutil.copytree(OVERLAYS.parent, place, dirs_exist_ok=True)
    uncommented = text.replace("# components:", "components:").replace("#   - ../..", "  - ../..")
    assert uncommented.count("../components/") == len(list((OVERLAYS.parent / "components").iterdir()))
    (place / "overlays" / "fleet" / "kustomization.yaml").write_text(uncommented, encoding="utf-8")
    return rendered(place / "overlays" / "fleet")


@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_fits_its_schema(resources: list[dict[str, Any]], version: str) -> None:
    for resource in resources:
        kubernetes_validate.validate(resource, version, strict=True)


def test_the_fleet_with_all_components_fits_and_leaves_the_number_of_workers_to_the_autoscaler(
    with_components: list[dict[str, Any]],
) -> None:
    for resource in with_components:
        kubernetes_validate.validate(resource, VERSIONS[-1], strict=True)
    (worker,) = (
        item
        for item in with_components
        if item["kind"] == "Deployment" and item["metadata"]["name"] == "spleeter-worker"
    )
    assert "replicas" not in worker["spec"]
    assert "HorizontalPodAutoscaler" in {item["kind"] for item in with_components}


LINK_LOCAL = "169.254.169.254"


@pytest.mark.parametrize(
    ("component", "address", "port"),
    [
        ("cloud-identity", LINK_LOCAL, 80),  # EC2, Azure, GKE's second data plane
        ("cloud-identity", "169.254.170.23", 80),  # EKS
        ("cloud-identity", "169.254.169.252", 988),  # GKE
        ("minio", "10.1.2.3", 9000),
        ("pgbouncer", "10.1.2.3", 6432),
        ("http-proxy", "10.1.2.3", 3128),
    ],
)
def test_a_component_opens_what_it_is_for_and_nothing_else_of_the_cloud(
    resources: list[dict[str, Any]],
    with_components: list[dict[str, Any]],
    component: str,
    address: str,
    port: int,
) -> None:
    assert not opened(resources, address, port)
    own = [item for item in with_components if item["metadata"]["name"] == f"spleeter-to-{component}"]
    assert opened(own, address, port)
    assert own[0]["metadata"]["namespace"] == "spleeter"
    assert own[0]["spec"]["podSelector"] == {"matchLabels": {"app": "spleeter"}}
    assert opened(own, LINK_LOCAL, port) == (component == "cloud-identity")
    assert not opened(own, "10.1.2.3", 443)


def opened(resources: list[dict[str, Any]], address: str, port: int) -> bool:
    """Return whether a network policy lets pods connect to an address and port."""
    blocks = [
        block["ipBlock"]
        for item in resources
        if item["kind"] == "NetworkPolicy"
        for rule in item["spec"].get("egress", ())
        if port in {allowed["port"] for allowed in rule["ports"]}
        for block in rule.get("to", ())
    ]
    return any(
        _within(address, [block["cidr"]]) > _within(address, block.get("except", ())) for block in blocks
    )


def _within(address: str, networks: Iterable[str]) -> bool:
    return any(ip_address(address) in ip_network(network) for network in networks)


def test_the_missions_own_manifest_fits_its_schema() -> None:
    """It is in the repository as it was given, and started as it is."""
    text = (OVERLAYS.parents[1] / "minimal" / "deployment.yaml").read_text(encoding="utf-8")
    manifest = yaml.safe_load(text)
    for version in VERSIONS:
        kubernetes_validate.validate(manifest, version, strict=True)
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    Settings.from_environment({item["name"]: item["value"] for item in container["env"]})


def test_a_field_that_does_not_exist_is_found(resources: list[dict[str, Any]]) -> None:
    """Or the schemas would be of no use."""
    wrong = {**resources[0], "spec": {"finalisers": []}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_the_names_that_the_mission_fixes_are_there(resources: list[dict[str, Any]]) -> None:
    template = pods(resources)["spleeter-microservice"]
    assert template["metadata"]["labels"]["app"] == "spleeter"
    claims = {
        volume["name"]: volume["persistentVolumeClaim"]["claimName"]
        for volume in template["spec"]["volumes"]
        if "persistentVolumeClaim" in volume
    }
    (container,) = template["spec"]["containers"]
    mounted = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    shared_nothing = "spleeter-worker" in pods(resources)
    assert claims == ({} if shared_nothing else {mounted["/data"]: "spleeter-pvc"})
    claimed = [item["metadata"]["name"] for item in resources if item["kind"] == "PersistentVolumeClaim"]
    assert claimed == [*claims.values()]
    key = next(item for item in container["env"] if item["name"] == "SPLEETER_API_KEY")
    assert key["valueFrom"]["secretKeyRef"]["name"] == "spleeter-secrets"


def require_confinement(resources: list[dict[str, Any]]) -> None:
    """Check what the level "restricted" of Kubernetes's pod security standards asks, and a step further."""
    specs = [*pod_specs(resources)]
    assert specs
    for spec in specs:
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False, "SPLEETER_PORT might come from a Service"
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
        for container in (*spec["containers"], *spec.get("initContainers", ())):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert {"cpu", "memory"} <= container["resources"]["limits"].keys()
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys()


def test_every_container_is_confined(
    resources: list[dict[str, Any]], with_components: list[dict[str, Any]]
) -> None:
    require_confinement(resources)
    require_confinement(with_components)
    for template in pods(resources).values():
        for container in template["spec"]["containers"]:
            assert {"livenessProbe", "startupProbe"} <= container.keys()


def test_a_container_that_is_not_confined_is_found(resources: list[dict[str, Any]]) -> None:
    (first, *_) = pods(resources).values()
    bare = {"name": "more", "image": "more"}
    beside = {**first["spec"], "initContainers": [bare]}
    for added in (beside, {"containers": [bare]}):
        resource = {"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": {"spec": added}}}}}
        with pytest.raises(KeyError):
            require_confinement([*resources, resource])


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
