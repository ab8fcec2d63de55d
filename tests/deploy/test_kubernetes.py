"""The Kubernetes and Ray manifests, held against Kubernetes's schemas and Ray's own autoscaler."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
VERSION = "1.33"
MADE_BY_HAND = {("Secret", "hcp-postgres"), ("Secret", "hcp-store"), ("Secret", "hcp-ray")}
RAY = {name: yaml.safe_load((FOLDER / f"{name}.yaml").read_text()) for name in ("raycluster", "rayjob")}  # fmt: skip  # noqa: E501

TEXT, WHOLE, FLAG = {"type": "string"}, {"type": "integer", "minimum": 0}, {"type": "boolean"}
ANYTHING: dict[str, Any] = {"type": "object"}


def closed(required: str = "", **properties: Any) -> dict[str, Any]:
    """A mapping that has these fields and no others: Kubernetes drops what it does not know."""
    return {
        "type": "object", "properties": properties, "required": required.split(),
        "additionalProperties": False,
    }  # fmt: skip


START = {"type": "object", "additionalProperties": TEXT}  # numbers there are refused, too
# KubeRay's ray.io/v1, as its API reference has it; templates of pods are checked as pods.
CLUSTER = closed(
    "rayVersion headGroupSpec workerGroupSpecs",
    rayVersion=TEXT,
    enableInTreeAutoscaling=FLAG,
    autoscalerOptions=closed(
        version={"enum": ["v1", "v2"]},
        upscalingMode={"enum": ["Default", "Aggressive", "Conservative"]},
        idleTimeoutSeconds=WHOLE,
        resources=ANYTHING,
        env={"type": "array", "items": ANYTHING},
    ),
    headGroupSpec=closed("template", rayStartParams=START, template=ANYTHING),
    workerGroupSpecs={
        "type": "array",
        "items": closed(
            "groupName minReplicas maxReplicas rayStartParams template",
            groupName=TEXT,
            replicas=WHOLE,
            minReplicas=WHOLE,
            maxReplicas=WHOLE,
            idleTimeoutSeconds=WHOLE,
            rayStartParams=START,
            template=ANYTHING,
        ),
    },
)
JOB = closed(
    "entrypoint rayClusterSpec",
    entrypoint=TEXT,
    submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode"]},
    shutdownAfterJobFinishes=FLAG,
    ttlSecondsAfterFinished=WHOLE,
    activeDeadlineSeconds=WHOLE,
    backoffLimit=WHOLE,
    runtimeEnvYAML=TEXT,
    submitterPodTemplate=ANYTHING,
    rayClusterSpec=CLUSTER,
)


def cluster_of(name: str) -> dict[str, Any]:
    spec = RAY[name]["spec"]
    return spec if name == "raycluster" else spec["rayClusterSpec"]


def groups(name: str) -> list[dict[str, Any]]:
    spec = cluster_of(name)
    return [spec["headGroupSpec"], *spec["workerGroupSpecs"]]


@pytest.fixture(scope="module")
def rendered() -> list[dict[str, Any]]:
    """What `kubectl apply -k` would send."""
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not installed")
    done = subprocess.run(
        ["kubectl", "kustomize", str(FOLDER)], capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def plain() -> list[dict[str, Any]]:
    """The manifests as they are in the files."""
    names = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    return [each for name in names for each in yaml.safe_load_all((FOLDER / name).read_text())]


@pytest.mark.parametrize("manifest", plain(), ids=lambda m: f"{m['kind']}-{m['metadata']['name']}")
def test_kubernetes_takes_each_manifest(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, VERSION, strict=True)


def test_kustomize_sets_namespace_and_image_and_kubernetes_takes_it(
    rendered: list[dict[str, Any]],
) -> None:
    assert len(rendered) == len(plain())
    for manifest in rendered:
        kubernetes_validate.validate(manifest, VERSION, strict=True)
        assert manifest["metadata"]["namespace"] == "hcp"
    images = {c["image"] for m in rendered for c in containers(m)}
    assert images == {"postgres:17-alpine", "hcp:cuda"}


@pytest.mark.parametrize(("name", "schema"), [("raycluster", CLUSTER), ("rayjob", JOB)])
def test_kuberay_takes_cluster_and_job(name: str, schema: dict[str, Any]) -> None:
    manifest = RAY[name]
    assert manifest["apiVersion"] == "ray.io/v1"
    jsonschema.validate(manifest["spec"], schema)
    templates = [group["template"] for group in groups(name)]
    if "submitterPodTemplate" in manifest["spec"]:
        templates.append(manifest["spec"]["submitterPodTemplate"])
    for template in templates:
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": template.get("metadata", {})}
        kubernetes_validate.validate(pod | {"spec": template["spec"]}, VERSION, strict=True)


@pytest.mark.parametrize(("wrong", "what"), [("minReplica", "minReplica"), ("gpu", "gpu")])
def test_a_field_that_kuberay_would_drop_is_found(wrong: str, what: str) -> None:
    spec = yaml.safe_load(yaml.safe_dump(RAY["raycluster"]["spec"]))
    spec["workerGroupSpecs"][0][wrong] = 1
    with pytest.raises(jsonschema.ValidationError, match=what):
        jsonschema.validate(spec, CLUSTER)


@pytest.mark.parametrize("name", RAY)
def test_rays_autoscaler_reads_gpu_nodes_that_begin_at_zero(name: str) -> None:
    from ray.autoscaler._private.kuberay.autoscaling_config import (
        _derive_autoscaling_config_from_ray_cr as autoscaling,
    )

    metadata = {"name": "hcp", "namespace": "hcp"}
    types = autoscaling({"metadata": metadata, "spec": cluster_of(name)})["available_node_types"]
    head = types.pop("headgroup")
    assert head["resources"]["CPU"] == 0  # no unit and no training on the head
    assert all(each["min_workers"] == 0 < each["max_workers"] for each in types.values())
    gpus = {group for group, each in types.items() if each["resources"].get("GPU") == 1}
    assert gpus == ({"gpu-spot", "gpu"} if name == "raycluster" else {"gpu"})
    for group in gpus:
        assert types[group]["resources"]["CPU"] == 7
        assert types[group]["resources"]["memory"] == 48 * 2**30


def test_a_spot_group_bears_its_taints_and_ends_within_its_notice() -> None:
    (spot,) = [g for g in groups("raycluster")[1:] if "spot" in g["groupName"]]
    spec = spot["template"]["spec"]
    assert {"nvidia.com/gpu", "cloud.google.com/gke-spot"} <= {
        t["key"] for t in spec["tolerations"]
    }
    assert spec["terminationGracePeriodSeconds"] < 30
    terms = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert len(terms["nodeSelectorTerms"]) >= 3  # one for each cloud, of which one must fit


@pytest.mark.parametrize("name", RAY)
def test_all_nodes_have_rays_version_its_token_and_shared_memory(name: str) -> None:
    lines = (FOLDER.parents[1] / "constraints.txt").read_text().splitlines()
    assert f"ray=={cluster_of(name)['rayVersion']}" in lines
    for group in groups(name):
        container = group["template"]["spec"]["containers"][0]
        tokens = {each["name"] for each in container["env"]}
        assert {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN"} <= tokens
        assert "/dev/shm" in {mount["mountPath"] for mount in container["volumeMounts"]}
        requests, limits = (container["resources"][kind] for kind in ("requests", "limits"))
        assert requests["memory"] == limits["memory"]  # Ray counts the limit as its memory
        assert requests.get("nvidia.com/gpu") == limits.get("nvidia.com/gpu")


def test_nobody_is_root_and_what_is_named_exists(rendered: list[dict[str, Any]]) -> None:
    there = MADE_BY_HAND | {(each["kind"], each["metadata"]["name"]) for each in rendered}
    pods = [pod for manifest in rendered for pod in pod_specs(manifest)]
    pods += [group["template"]["spec"] for name in RAY for group in groups(name)]
    for spec in pods:
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert (
            spec.get("enableServiceLinks") is False or spec["containers"][0]["name"] == "postgres"
        )
        for container in spec["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["resources"]["limits"]["memory"]
        assert set(named(spec)) <= there


def pod_specs(manifest: dict[str, Any]) -> Iterator[dict[str, Any]]:
    template = manifest.get("spec", {}).get("template")
    if template:
        yield template["spec"]


def containers(manifest: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for spec in pod_specs(manifest):
        yield from spec["containers"]


def named(spec: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Kinds and names of what a pod needs."""
    if "serviceAccountName" in spec:
        yield "ServiceAccount", spec["serviceAccountName"]
    for volume in spec.get("volumes", []):
        if "configMap" in volume:
            yield "ConfigMap", volume["configMap"]["name"]
        if "persistentVolumeClaim" in volume:
            yield "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]
    for container in spec["containers"]:
        for source in container.get("envFrom", []):
            for kind, field in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
                if field in source:
                    yield kind, source[field]["name"]
        for variable in container.get("env", []):
            if "valueFrom" in variable:
                yield "Secret", variable["valueFrom"]["secretKeyRef"]["name"]
