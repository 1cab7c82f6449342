"""What the Helm chart renders is valid, hardened, and holds the repository's rules and dashboards: `make chart-check`.

Not checked here, for want of a cluster: admission, DNS, the operator's own validation of what Prometheus it makes.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from cloudcoil.models.prometheus_operator import v1

from exporter import __version__
from exporter.config.load import Loader
from tests.deploy.dockerfile import Image
from tests.deploy.trial import for_everyone, try_out
from tests.docs.markdown import ROOT, fences
from tests.support.promtool import binaries, run

CHART = ROOT / "deploy/helm/zilliz-import-exporter"
RULES = ROOT / "prometheus/rules/zilliz-import.rules.yml"
DASHBOARDS = sorted((ROOT / "grafana").glob("*.json"))
LARGEST_ANNOTATION = 262_144
OPENSHIFT_USER = 1000650000
READ_ONLY = 'mount -o remount,bind,ro / && exec "$@"'

EVERYTHING = {
    "image": {"pullSecrets": [{"name": "registry"}]},
    "extraArgs": ["--web.config.file=/etc/web/web.yml", "--log.format=json"],
    "env": [{"name": "HTTPS_PROXY", "value": "http://proxy.example.com:3128"}],
    "extraVolumes": [{"name": "web", "secret": {"secretName": "web"}}],
    "extraVolumeMounts": [{"name": "web", "mountPath": "/etc/web", "readOnly": True}],
    "livenessProbe": {"httpGet": None, "exec": {"command": ["zilliz-import-exporter", "--health"]}},
    "podAnnotations": {"example.com/team": "data"},
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "dedicated", "operator": "Exists", "effect": "NoSchedule"}],
    "networkPolicy": {"enabled": True},
    "grafanaUrl": "https://grafana.example.com/",
    "runbooksUrl": "https://docs.example.com/runbooks.md",
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}, "endpoint": {"scheme": "https"}},
    "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
    "dashboards": {"enabled": True},
}
MILVUS = {"config": {"clusters": [{"cluster_id": "milvus", "api": "milvus", "base_url": "http://milvus:19530"}]}}
(DOCUMENTED,) = (fence for fence in fences(ROOT / "deploy/README.md") if fence.kind == "helm")
CASES: dict[str, dict[str, Any]] = {
    "default": {},
    "everything": EVERYTHING,
    "openshift": {"openshift": True, "demo": True},
    "milvus-without-key": {**MILVUS, "existingSecret": ""},
    "two-replicas": {"replicas": 2},
    "documented": yaml.safe_load(DOCUMENTED.body),
}
ALWAYS = {"ConfigMap", "Deployment", "Service"}
KINDS = {
    "default": ALWAYS,
    "everything": ALWAYS | {"NetworkPolicy", "PrometheusRule", "ServiceMonitor"},
    "openshift": {"Deployment", "Service"},
    "milvus-without-key": ALWAYS,
    "two-replicas": ALWAYS | {"PodDisruptionBudget"},
    "documented": ALWAYS | {"PrometheusRule", "ServiceMonitor"},
}

pytestmark = pytest.mark.needs("helm")
each_case = pytest.mark.parametrize("case", CASES)


def helm(*arguments: str | Path, values: object) -> str:
    """What helm prints for these values. Raises AssertionError with its complaint."""
    done = subprocess.run(
        ["helm", *arguments, "--values=-"], check=False, capture_output=True, text=True, input=yaml.safe_dump(values)
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@cache
def rendered(case: str) -> list[dict[str, Any]]:
    """The objects of a release named like the chart."""
    text = helm("template", CHART.name, CHART, "--namespace=imports", values=CASES[case])
    return list(yaml.safe_load_all(text))


def one(kind: str, case: str = "default") -> dict[str, Any]:
    """The only object of a kind, dashboards aside."""
    (found,) = (each for each in rendered(case) if each["kind"] == kind and not is_dashboard(each))
    return found


def dashboards(case: str) -> list[dict[str, Any]]:
    """The ConfigMaps that hold dashboards."""
    return [each for each in rendered(case) if is_dashboard(each)]


def is_dashboard(manifest: dict[str, Any]) -> bool:
    """Whether Grafana's sidecar selects the object."""
    return "grafana_dashboard" in manifest["metadata"]["labels"]


def of_operator(manifest: dict[str, Any]) -> bool:
    """Whether prometheus-operator brings the kind."""
    return str(manifest["apiVersion"]).startswith("monitoring.coreos.com/")


@each_case
def test_helm_finds_no_mistake_in_the_chart(case: str) -> None:
    helm("lint", "--strict", CHART, values=CASES[case])


@each_case
def test_values_choose_the_kinds(case: str) -> None:
    assert {each["kind"] for each in rendered(case)} == KINDS[case]


def test_objects_of_kubernetes_match_its_schemas(tmp_path: Path) -> None:
    objects = tmp_path / "objects.yaml"
    objects.write_text(yaml.safe_dump_all(each for case in CASES for each in rendered(case) if not of_operator(each)))
    validate = Path(sys.executable).with_name("kubernetes-validate")
    done = subprocess.run([validate, "--strict", objects], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@each_case
def test_objects_of_the_operator_match_its_schemas_and_hold_no_unknown_key(case: str) -> None:
    for manifest in filter(of_operator, rendered(case)):
        model = getattr(v1, manifest["kind"]).model_validate(manifest)
        assert model.model_dump(mode="json", by_alias=True, exclude_unset=True) == manifest


def test_every_value_has_a_comment() -> None:
    lines = (CHART / "values.yaml").read_text(encoding="utf-8").splitlines()
    keys = [number for number, line in enumerate(lines) if re.match(r"[a-zA-Z]+:", line)]
    without = [lines[number] for number in keys if not lines[number - 1].startswith("#")]
    assert without == []


def test_rules_and_dashboards_are_those_of_the_repository() -> None:
    assert one("PrometheusRule", "documented")["spec"] == yaml.safe_load(at_documented_addresses(RULES))
    held = {name: text for each in dashboards("documented") for name, text in each["data"].items()}
    assert {name: json.loads(text) for name, text in held.items()} == {
        path.name: json.loads(at_documented_addresses(path)) for path in DASHBOARDS
    }


def at_documented_addresses(path: Path) -> str:
    """The text of a file with the address of Grafana that deploy/README.md configures."""
    return path.read_text(encoding="utf-8").replace("http://localhost:3000", CASES["documented"]["grafanaUrl"])


def test_all_links_lead_to_the_configured_addresses() -> None:
    text = json.dumps([one("PrometheusRule", "everything")["spec"], *dashboards("everything")])
    links = set(re.findall(r"https?://[^/\"\\ ]+/(?:d/|\S*runbooks\.md)", text))
    assert links == {"https://grafana.example.com/d/", "https://docs.example.com/runbooks.md"}


def test_every_object_is_small_enough_for_kubectl_apply() -> None:
    assert all(len(json.dumps(manifest)) < LARGEST_ANNOTATION for case in CASES for manifest in rendered(case))


@pytest.mark.needs("promtool")
def test_prometheus_takes_the_rules_of_the_prometheusrule(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(one("PrometheusRule", "everything")["spec"]))
    for promtool in binaries():
        good, said = run("check", "rules", tmp_path / "rules.yml", binary=promtool)
        assert good, said


@each_case
def test_pods_meet_the_restricted_standard_and_need_no_token(case: str) -> None:
    pod = one("Deployment", case)["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["automountServiceAccountToken"] is False
    user = {} if case == "openshift" else dict.fromkeys(("runAsUser", "runAsGroup", "fsGroup"), 65532)
    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}, **user}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_names_that_refer_to_each_other_agree() -> None:
    deployment, service = one("Deployment"), one("Service")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    selectors = (
        deployment["spec"]["selector"]["matchLabels"],
        service["spec"]["selector"],
        one("PodDisruptionBudget", "two-replicas")["spec"]["selector"]["matchLabels"],
        one("NetworkPolicy", "everything")["spec"]["podSelector"]["matchLabels"],
    )
    assert all(selector.items() <= labels.items() and selector for selector in selectors)
    monitor = one("ServiceMonitor", "everything")["spec"]
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert service["metadata"]["labels"][monitor["jobLabel"]] == CHART.name
    assert [each["port"] for each in monitor["endpoints"]] == [each["name"] for each in service["spec"]["ports"]]
    volumes = {volume["name"]: volume for volume in deployment["spec"]["template"]["spec"]["volumes"]}
    assert volumes["config"]["configMap"]["name"] == one("ConfigMap")["metadata"]["name"]


def test_prometheus_finds_every_replica_by_the_services_srv_record() -> None:
    (documented,) = (fence for fence in fences(ROOT / "deploy/README.md") if "dns_sd_configs" in fence.body)
    (job,) = yaml.safe_load(documented.body)["scrape_configs"]
    (discovery,) = job["dns_sd_configs"]
    service = one("Service")
    assert service["spec"]["clusterIP"] == "None"
    (port,) = service["spec"]["ports"]
    name = service["metadata"]["name"]
    assert discovery == {"names": [f"_{port['name']}._tcp.{name}.{name}.svc"], "type": "SRV"}


def test_the_chart_and_the_image_have_the_version_of_the_package() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)
    (container,) = one("Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["image"].endswith(f":{__version__}")


@pytest.mark.parametrize("case", ["default", "documented", "milvus-without-key"])
def test_the_exporters_configuration_is_valid_once_the_secret_is_mounted(case: str, tmp_path: Path) -> None:
    (container,) = one("Deployment", case)["spec"]["template"]["spec"]["containers"]
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert container["args"] == [f"--config.file={mounted['config']}/config.yaml"]
    text = one("ConfigMap", case)["data"]["config.yaml"]
    (tmp_path / "key").write_text("your-key\n")
    (tmp_path / "key").chmod(0o600)
    if "keys" in mounted:
        assert f"{mounted['keys']}/key" in text
        text = text.replace(mounted["keys"], str(tmp_path))
    (tmp_path / "config.yaml").write_text(text)
    assert Loader(tmp_path / "config.yaml", {}).load().warnings == ()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
@pytest.mark.needs("setpriv", "unshare")
def test_the_demo_runs_as_a_user_of_openshift_without_a_home_on_a_read_only_root(image: Image) -> None:
    (container,) = one("Deployment", "openshift")["spec"]["template"]["spec"]["containers"]
    (packages,) = image.path("/usr/local").glob("lib/python*/site-packages")
    as_container = [
        *("unshare", "--mount", "sh", "-c", READ_ONLY, "sh"),
        *("setpriv", f"--reuid={OPENSHIFT_USER}", "--regid=0", "--clear-groups", "--bounding-set=-all"),
        *("--inh-caps=-all", "--no-new-privs"),
    ]
    jobs = try_out(
        [*as_container, for_everyone() or sys.executable, image.path("/usr/local/bin") / image.entrypoint[0]],
        arguments=container["args"],
        environment={"PATH": os.defpath, **image.environment, "PYTHONPATH": str(packages)},
        cwd=image.path(""),
    )
    assert jobs > 0
