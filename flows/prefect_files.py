"""Files for ``prefect deploy`` to docker and kubernetes work pools, made from ``prefect.yaml``.

``python -m flows.prefect_files`` writes them to ``deploy/`` of the checkout.
"""

from importlib.resources import files
from pathlib import Path
from typing import Literal

from flows.work_pools import WORKDIR

Kind = Literal["docker", "kubernetes"]
KINDS: tuple[Kind, ...] = ("docker", "kubernetes")
_POOL = "    name: hcp\n    job_variables:\n"
_HEAD = """\
# Made from flows/prefect.yaml by `python -m flows.prefect_files`: change that file.
# From the root of the checkout, with PREFECT_API_URL set and the pool made by `hcp provision`:
#   HCP_IMAGE=registry.example/hcp:1 prefect --no-prompt deploy --all \\
#     --prefect-file deploy/prefect.{kind}.yaml
# A worker runs them: prefect worker start --pool hcp-{kind}
name: hcp
prefect-version: 3.8.8

build:
  - prefect.deployments.steps.run_shell_script:
      script: bash deploy/image build  # HCP_VARIANT: cuda or cpu, HCP_BUILDER: docker or podman
      stream_output: true
{push}
# The image has the code. To run the code of a branch instead, take the step git_clone.
pull:
  - prefect.deployments.steps.set_working_directory:
      directory: {workdir}
"""
_PUSH = """
push:
  - prefect.deployments.steps.run_shell_script:
      script: bash deploy/image push
      stream_output: true
"""


def prefect_file(kind: Kind) -> str:
    """The text of ``deploy/prefect.<kind>.yaml``: the deployments, with build, push and pull."""
    text = files("flows").joinpath("prefect.yaml").read_text()
    body = text[text.index("\ndefinitions:") :]
    assert body.count(_POOL) == 1, "flows/prefect.yaml has another work_pool than this expects"
    pool = _POOL.replace("name: hcp", f"name: hcp-{kind}")
    pool += '      image: "{{ $HCP_IMAGE }}"\n'
    # A machine's own images need no registry; a cluster's nodes fetch theirs.
    head = _HEAD.format(kind=kind, push=_PUSH if kind == "kubernetes" else "", workdir=WORKDIR)
    return head + body.replace(_POOL, pool)


def write(folder: Path) -> None:
    """Write the files of all kinds into a folder."""
    for kind in KINDS:
        (folder / f"prefect.{kind}.yaml").write_text(prefect_file(kind))


if __name__ == "__main__":
    write(Path(__file__).parents[1] / "deploy")
