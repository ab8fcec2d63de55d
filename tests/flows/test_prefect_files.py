"""The committed files of ``prefect deploy`` are made from ``prefect.yaml``."""

from pathlib import Path

import pytest
import yaml

from flows.prefect_files import KINDS, prefect_file

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("kind", KINDS)
def test_the_committed_files_are_those_of_prefect_yaml(kind: str) -> None:
    text = prefect_file(kind)  # pyright: ignore[reportArgumentType]
    committed = (ROOT / "deploy" / f"prefect.{kind}.yaml").read_text()
    assert committed == text, "make them again: python -m flows.prefect_files"
    loaded, plain = yaml.safe_load(text), yaml.safe_load((ROOT / "prefect.yaml").read_text())
    for ours, theirs in zip(loaded["deployments"], plain["deployments"], strict=True):
        pool = ours.pop("work_pool")
        assert pool["name"] == f"hcp-{kind}"
        variables = theirs.pop("work_pool")["job_variables"]
        assert pool["job_variables"] == variables | {"image": "{{ $HCP_IMAGE }}"}
        assert ours == theirs
