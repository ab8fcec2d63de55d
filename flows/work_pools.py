"""Work pools of type process, docker and kubernetes: their job templates, and how runs begin."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Literal, get_args

import yaml

from storage.errors import HcpError

PoolType = Literal["process", "docker", "kubernetes"]
POOL_TYPES: tuple[PoolType, ...] = get_args(PoolType)
WORKDIR = "/data"  # of deploy/Containerfile: where relative paths of a run lie
_PACKAGES = {"docker": "prefect-docker", "kubernetes": "prefect-kubernetes"}
_WORKDIR_STEP = "prefect.deployments.steps.set_working_directory"


class WorkPoolError(HcpError):
    """A work pool cannot be made as it was asked for."""


def make_pool(name: str, kind: PoolType | None = None, *, image: str | None = None) -> str:
    """Make the work pool on the server of ``PREFECT_API_URL``, or keep the one that is there.

    Args:
        name: of the pool.
        kind: what a run of it is: a process of the worker, a container, or a Kubernetes job; None:
            the type that it has, and of processes where there is none.
        image: of its containers; None: that of ``deploy/Containerfile`` as it is named there.

    Returns:
        One line that says what was made or kept.

    Raises:
        WorkPoolError: there is no such type, the pool is there with another one, or a pool of
            processes was given an image.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
    from prefect.exceptions import ObjectAlreadyExists

    with get_client(sync_client=True) as client:
        found = _read(client, name)
        if found is None:
            kind = known_type(kind or "process")
            _check_image(kind, image)
            template = job_template(kind, image=image)
            wanted = WorkPoolCreate(name=name, type=kind, base_job_template=template)
            try:
                client.create_work_pool(wanted)
                return f"work pool {name} ({kind}): made"
            except ObjectAlreadyExists:  # by somebody else, just now
                found = _read(client, name)
        if kind not in (None, found.type):
            raise WorkPoolError(
                f"work pool {name} is of type {found.type}, wanted {kind}: choose another name, or "
                f"delete it (prefect work-pool delete {name})"
            )
        _check_image(found.type, image)
        if image and _image(found) != image:
            changed = merged(found.base_job_template, _default_image(image))
            client.update_work_pool(name, WorkPoolUpdate(base_job_template=changed))
            return f"work pool {name} ({found.type}): image changed to {image}"
    return f"work pool {name} ({found.type}): kept{', paused' if found.is_paused else ''}"


def pool_type(name: str) -> str | None:
    """The type of a work pool on the server; None: there is no such pool."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        found = _read(client, name)
    return None if found is None else str(found.type)


def job_template(kind: PoolType, *, image: str | None = None) -> dict[str, Any]:
    """The base job template of a pool of ours: Prefect's own for this type, and what we add.

    Args:
        kind: the pool's type.
        image: the default of its variable ``image``.
    """
    if kind == "process":
        return {}  # the server takes its own
    template = merged(_prefects(kind), _ours(kind))
    return merged(template, _default_image(image)) if image else template


def pull_steps(kind: str | None) -> list[dict[str, Any]] | None:
    """What a run does before its flow is loaded; None: what Prefect does by itself.

    The image has our code installed, so a container only goes where relative paths lie; Prefect
    would send it to the folder in which the deployment was made, which it does not have.
    """
    if kind in (None, "process"):
        return None
    return [{_WORKDIR_STEP: {"directory": WORKDIR}}]


def merged(base: Any, change: Any) -> Any:
    """``change`` laid over ``base``: mappings and lists item by item, None takes a key away."""
    if isinstance(change, Mapping):
        base = base if isinstance(base, Mapping) else {}
        kept = {k: v for k, v in base.items() if k not in change}
        laid = {k: merged(base.get(k), v) for k, v in change.items() if v is not None}
        return {**kept, **laid}
    if isinstance(base, list) and isinstance(change, list) and len(base) == len(change):
        return [merged(ours, theirs) for ours, theirs in zip(base, change, strict=True)]
    return change


def known_type(name: str) -> PoolType:
    """The type of that name.

    Raises:
        WorkPoolError: there is none.
    """
    for kind in POOL_TYPES:
        if kind == name:
            return kind
    raise WorkPoolError(f"a work pool's type is one of {', '.join(POOL_TYPES)}, got {name!r}")


def _check_image(kind: str, image: str | None) -> None:
    if kind == "process" and image:
        raise WorkPoolError(
            f"a pool of processes runs no image, got {image!r}: leave it out, or choose the type "
            "docker or kubernetes"
        )


def _read(client: Any, name: str) -> Any:
    from prefect.exceptions import ObjectNotFound

    try:
        return client.read_work_pool(name)
    except ObjectNotFound:
        return None


def _image(pool: Any) -> Any:
    properties = pool.base_job_template.get("variables", {}).get("properties", {})
    return properties.get("image", {}).get("default")


def _default_image(image: str) -> dict[str, Any]:
    return {"variables": {"properties": {"image": {"default": image}}}}


def _ours(kind: str) -> dict[str, Any]:
    file = files("flows").joinpath("job_templates", f"{kind}.yaml")
    return yaml.safe_load(file.read_text())


def _prefects(kind: str) -> dict[str, Any]:
    """The template that Prefect's server has for this type, of the worker that it was made with."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        known = client.read_worker_metadata()
    for workers in known.values():
        if kind in workers:
            return dict(workers[kind]["default_base_job_configuration"])
    raise WorkPoolError(
        f"Prefect's server knows no work pools of type {kind}: pip install {_PACKAGES[kind]} where "
        "it runs"
    )
