"""What kustomize builds is valid, hardened, and holds the same rules and dashboard as the rest of the repository.

Not checked here, for want of a cluster: admission, the operator's own validation of what Prometheus it makes.
"""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from cloudcoil.models.prometheus_operator import v1, v1alpha1

from deploy.generate import COMMAND, DASHBOARD, OPERATOR, RULES, manifests
from exporter import __version__
from exporter.config.load import Loader
from tests.support.promtool import binaries, run

ROOT = Path(__file__).parents[2]
BASE = ROOT / "deploy/kubernetes"
LARGEST_ANNOTATION = 262_144

pytestmark = pytest.mark.needs("kubectl")


@cache
def built(folder: Path) -> list[dict[str, Any]]:
    """The objects that kustomize makes of a folder."""
    done = subprocess.run(["kubectl", "kustomize", str(folder)], check=True, capture_output=True, text=True)
    return list(yaml.safe_load_all(done.stdout))


def one(kind: str, folder: Path = BASE) -> dict[str, Any]:
    """The only object of a kind."""
    (found,) = (each for each in built(folder) if each["kind"] == kind)
    return found


def of_operator(manifest: dict[str, Any]) -> bool:
    """Whether prometheus-operator brings the kind."""
    return str(manifest["apiVersion"]).startswith("monitoring.coreos.com/")


@pytest.mark.parametrize("folder", [BASE, OPERATOR], ids=lambda folder: folder.name)
def test_objects_of_kubernetes_match_its_schemas(folder: Path, tmp_path: Path) -> None:
    objects = tmp_path / "objects.yaml"
    objects.write_text(yaml.safe_dump_all(each for each in built(folder) if not of_operator(each)))
    validate = Path(sys.executable).with_name("kubernetes-validate")
    done = subprocess.run([validate, "--strict", objects], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_objects_of_the_operator_match_its_schemas_and_hold_no_unknown_key() -> None:
    alternatives = list(yaml.safe_load_all((OPERATOR / "probe.yaml").read_text(encoding="utf-8")))
    for manifest in [*filter(of_operator, built(OPERATOR)), *alternatives]:
        version = {"v1": v1, "v1alpha1": v1alpha1}[manifest["apiVersion"].partition("/")[2]]
        model = getattr(version, manifest["kind"]).model_validate(manifest)
        understood = model.model_dump(mode="json", by_alias=True, exclude_unset=True)
        assert understood == manifest


def test_rules_and_dashboard_are_those_of_the_repository() -> None:
    stale = [path.name for path, text in manifests().items() if text != path.read_text(encoding="utf-8")]
    assert stale == [], f"run: {COMMAND}"
    assert one("PrometheusRule", OPERATOR)["spec"] == yaml.safe_load(RULES.read_text(encoding="utf-8"))
    dashboard = one("ConfigMap", OPERATOR)
    assert json.loads(dashboard["data"][DASHBOARD.name]) == json.loads(DASHBOARD.read_text(encoding="utf-8"))


def test_every_object_is_small_enough_for_kubectl_apply() -> None:
    for manifest in (*built(BASE), *built(OPERATOR)):
        assert len(json.dumps(manifest)) < LARGEST_ANNOTATION


@pytest.mark.needs("promtool")
def test_prometheus_takes_the_rules_of_the_prometheusrule(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(one("PrometheusRule", OPERATOR)["spec"]))
    for promtool in binaries():
        good, said = run("check", "rules", tmp_path / "rules.yml", binary=promtool)
        assert good, said


def test_pods_meet_the_restricted_standard_and_need_no_token() -> None:
    pod = one("Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert one("Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_names_that_refer_to_each_other_agree() -> None:
    deployment, service = one("Deployment"), one("Service")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    selectors = (
        deployment["spec"]["selector"]["matchLabels"],
        service["spec"]["selector"],
        one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        one("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    )
    assert all(selector.items() <= labels.items() and selector for selector in selectors)
    assert service["spec"]["clusterIP"] == "None"
    name = f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc"
    assert one("ScrapeConfig", OPERATOR)["spec"]["dnsSDConfigs"][0]["names"] == [name]
    assert f"url: {name}:10530" in (OPERATOR / "probe.yaml").read_text(encoding="utf-8")
    volumes = {volume["name"]: volume for volume in deployment["spec"]["template"]["spec"]["volumes"]}
    assert volumes["config"]["configMap"]["name"] == one("ConfigMap")["metadata"]["name"]


def test_the_image_has_the_version_of_the_package() -> None:
    (container,) = one("Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["image"].endswith(f":{__version__}")


def test_the_exporters_configuration_is_valid_once_the_secret_is_mounted(tmp_path: Path) -> None:
    (container,) = one("Deployment")["spec"]["template"]["spec"]["containers"]
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert container["args"] == [f"--config.file={mounted['config']}/config.yaml"]
    text = one("ConfigMap")["data"]["config.yaml"]
    (tmp_path / "key").write_text("your-key\n")
    (tmp_path / "key").chmod(0o600)
    assert f"{mounted['key']}/key" in text
    (tmp_path / "config.yaml").write_text(text.replace(mounted["key"], str(tmp_path)))
    assert Loader(tmp_path / "config.yaml", {}).load().warnings == ()
