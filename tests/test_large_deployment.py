"""The large form: the compose file, the manifests for Kubernetes, and the balancer's file."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import fields
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from lab.capacity import UnitCosts, plan

from feed.cli import COMMANDS
from feed.config import Settings

DEPLOY = Path(__file__).parent.parent / "deploy"
DOCS = DEPLOY.parent / "docs"
KUBERNETES = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
MANIFESTS = [
    manifest
    for path in KUBERNETES
    for manifest in yaml.safe_load_all(path.read_text())
    if manifest["kind"] != "Kustomization"
]
KUSTOMIZATION = yaml.safe_load((DEPLOY / "kubernetes" / "kustomization.yaml").read_text())
COMPOSE = yaml.safe_load((DEPLOY / "compose" / "large.yml").read_text())
SERVICES = COMPOSE["services"]
KNOWN = {f"FEED_{field.name.upper()}" for field in fields(Settings)}


def of_kind(kind):
    return {m["metadata"]["name"]: m["spec"] for m in MANIFESTS if m["kind"] == kind}


def templates():
    """Return the pod of every workload."""
    found = {name: spec["template"]["spec"] for name, spec in of_kind("Deployment").items()}
    jobs = of_kind("CronJob")
    return found | {n: j["jobTemplate"]["spec"]["template"]["spec"] for n, j in jobs.items()}


@pytest.mark.parametrize(
    "path", [*KUBERNETES, DEPLOY / "compose" / "large.yml", DEPLOY / "haproxy" / "haproxy.cfg"]
)
def test_every_variable_is_a_setting(path):
    assert set(re.findall(r"\bFEED_[A-Z_]+", path.read_text())) <= KNOWN


def test_manifests_are_what_kubernetes_knows():
    for manifest in MANIFESTS:
        kubernetes_validate.validate(manifest, "1.33", strict=True)


def test_the_kustomization_names_every_manifest_and_makes_the_settings():
    assert KUSTOMIZATION["resources"] == ["web.yaml", "worker.yaml", "trainer.yaml"]
    assert {*KUSTOMIZATION["resources"], "kustomization.yaml"} == {p.name for p in KUBERNETES}
    (made,) = KUSTOMIZATION["configMapGenerator"]
    for pod in templates().values():
        sources = pod["containers"][0]["envFrom"]
        assert sources == [
            {"configMapRef": {"name": made["name"]}},
            {"secretRef": {"name": "feed-secrets"}},
        ]


@pytest.mark.parametrize("name", ["feed-web", "feed-worker", "feed-trainer"])
def test_pods_run_a_command_with_few_rights_and_known_sizes(name):
    pod = templates()[name]
    (container,) = pod["containers"]
    assert container["args"][0] in COMMANDS
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}
    assert "memory" in container["resources"]["limits"]
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}


def test_probes_ask_what_the_service_answers():
    (container,) = templates()["feed-web"]["containers"]
    paths = {kind: container[f"{kind}Probe"]["httpGet"] for kind in ("readiness", "liveness")}
    assert paths == {
        "readiness": {"path": "/readyz", "port": "http"},
        "liveness": {"path": "/healthz", "port": "http"},
    }
    assert container["ports"] == [{"name": "http", "containerPort": 8000}]
    routes = (DOCS / "reference" / "routes.md").read_text()
    assert all(f"{asked['path']}`" in routes for asked in paths.values())


@pytest.mark.parametrize("name", ["feed-web", "feed-worker"])
def test_a_disruption_leaves_one_and_the_scaler_keeps_two(name):
    workload = of_kind("Deployment")[name]
    budget = of_kind("PodDisruptionBudget")[name]
    scaler = of_kind("HorizontalPodAutoscaler")[name]
    assert workload["selector"] == budget["selector"]
    assert workload["selector"]["matchLabels"].items() <= (
        workload["template"]["metadata"]["labels"].items()
    )
    assert budget["minAvailable"] < workload["replicas"] == scaler["minReplicas"]
    assert scaler["scaleTargetRef"]["name"] == name


def test_scalers_use_metrics_that_the_service_exports():
    exported = (DOCS / "reference" / "metrics.md").read_text()
    used = {
        source["metric"]["name"]
        for scaler in of_kind("HorizontalPodAutoscaler").values()
        for metric in scaler["metrics"]
        for source in [metric.get("pods") or metric.get("external")]
        if source
    }
    assert used == {"feed_requests_shed_per_second", "feed_counting_lag_seconds"}
    for name in used:
        assert f"| `{name.replace('_per_second', '_total')}` |" in exported


def test_prometheus_finds_the_ports_of_web_and_worker():
    ports = {"feed-web": 8000, "feed-worker": 9464}
    for name, spec in of_kind("Deployment").items():
        annotations = spec["template"]["metadata"]["annotations"]
        assert annotations["prometheus.io/port"] == str(ports[name])
        (container,) = templates()[name]["containers"]
        assert [one["containerPort"] for one in container["ports"]] == [ports[name]]
    (worker,) = templates()["feed-worker"]["containers"]
    given = {one["name"]: one["value"] for one in worker["env"]}
    assert given == {"FEED_HOST": "0.0.0.0", "FEED_WORKER_METRICS_PORT": "9464"}


def test_compose_has_a_store_with_replicas_and_web_hosts_behind_the_balancer():
    stores = [name for name in SERVICES if re.fullmatch(r"store-\d", name)]
    assert len(stores) == 6
    for name in stores:
        words = SERVICES[name]["command"]
        options = dict(zip(words[1::2], words[2::2], strict=True))
        assert options["--cluster-enabled"] == options["--appendonly"] == "yes"
        assert options["--maxmemory-policy"] == "noeviction"
        assert SERVICES[name]["volumes"] == [f"{name}:/data"]
    assert set(COMPOSE["volumes"]) == set(stores)
    balancer = SERVICES["balancer"]["environment"]
    webs = {balancer["BALANCER_WEB1"], balancer["BALANCER_WEB2"]}
    assert webs == {"web-1:8000", "web-2:8000"}
    assert set(SERVICES["balancer"]["depends_on"]) == {"web-1", "web-2"}
    for name in ("web-1", "web-2", "worker", "trainer"):
        environment = SERVICES[name]["environment"]
        assert environment["FEED_REDIS_CLUSTER"] == "true"
        assert {p.split(":")[0] for p in environment["FEED_REDIS_URL"][8:].split(",")} < set(stores)
        assert SERVICES[name]["cap_drop"] == ["ALL"]


def test_the_balancer_takes_its_file():
    if shutil.which("haproxy") is None:
        pytest.skip("haproxy is not here: apt-get install haproxy")
    environment = {
        **os.environ,
        "BALANCER_FILES": str(DEPLOY / "haproxy"),
        "BALANCER_BIND": "127.0.0.1:18000",
        "BALANCER_WEB1": "127.0.0.1:1",
        "BALANCER_WEB2": "127.0.0.1:2",
    }
    command = ["haproxy", "-c", "-f", str(DEPLOY / "haproxy" / "haproxy.cfg")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_the_balancer_answers_itself_is_a_problem_that_says_when_to_come_again():
    head, _, body = (DEPLOY / "haproxy" / "unavailable.http").read_bytes().partition(b"\r\n\r\n")
    headers = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
    assert head.startswith(b"HTTP/1.1 503 ")
    assert headers[b"Content-Type"] == b"application/problem+json"
    assert int(headers[b"Content-Length"]) == len(body)
    assert int(headers[b"Retry-After"]) > 0
    assert yaml.safe_load(body)["status"] == 503


def test_a_site_grows_with_its_readers_and_never_below_two_of_each():
    unit = UnitCosts(
        feed_cpu_s=0.004, later_page_cpu_s=0.001, event_cpu_s=1e-4, feed_store_cpu_s=2e-4,
        event_store_cpu_s=2e-5, event_worker_cpu_s=2e-5, reader_bytes=20_000,
        slate_bytes=3_000, event_bytes=50, archived_event_bytes=50, archived_feed_bytes=500,
    )  # fmt: skip
    small, large, larger = (plan(readers, unit) for readers in (10_000, 10**7, 10**8))
    assert (small.web_machines, small.workers, small.store_primaries) == (2, 2, 1)
    # 10 million readers at five visits: 2,315 visits a second at four times the mean.
    assert large.feeds_s == pytest.approx(2 * 2314.8, rel=1e-3)
    # 2,315 * (4 + 1 + 25 * .1) ms at 60 % of a core.
    assert large.web_cores == 29
    # 30 million known readers of 20 kB, 2.5 billion events of 50 bytes, and 4.2 million slates.
    assert large.store_gb == pytest.approx(600 + 125 + 12.5)
    assert larger.objects_gb == pytest.approx(10 * large.objects_gb)
