"""The Kubernetes manifests as ``kubectl apply`` would send them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

OVERLAYS = Path(__file__).parents[2] / "deploy" / "kubernetes" / "overlays"


def rendered(folder: Path) -> list[dict[str, Any]]:
    """Render a directory with kustomize, which kubectl contains."""
    done = subprocess.run([*_kustomize(), str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def _kustomize() -> list[str]:
    if shutil.which("kustomize"):
        return ["kustomize", "build"]
    assert shutil.which("kubectl"), "kubectl is not installed: make components"
    return ["kubectl", "kustomize"]


def pods(resources: list[dict[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return the pod template of each deployment by name."""
    return {
        resource["metadata"]["name"]: resource["spec"]["template"]
        for resource in resources
        if resource["kind"] == "Deployment"
    }


def pod_specs(part: object) -> Iterator[dict[str, Any]]:
    """Yield whatever runs containers in some resources, whether in a deployment, a cron job or a pod."""
    if isinstance(part, dict):
        if "containers" in part:
            yield part
        part = [*part.values()]
    if isinstance(part, list):
        for inner in part:
            yield from pod_specs(inner)
