"""Names in parameters."""

from pathlib import Path

import pytest

from flows.names import Model, model_path, split_dataset


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("data", ("data", "latest")),
        ("data@abc", ("data", "abc")),
        ("s3://bucket/data@abc", ("s3://bucket/data", "abc")),
        ("s3://user@host/data", ("s3://user@host/data", "latest")),
        ("data@", ("data", "latest")),
    ],
)
def test_a_dataset_is_a_root_and_a_version(given: str, expected: tuple[str, str]) -> None:
    assert split_dataset(given) == expected


def test_embedded_models_are_there_and_other_names_pass_through() -> None:
    kinds: tuple[Model, ...] = ("base", "pose", "masks", "judge", "bodies")
    folders = {model_path("embedded", kind) for kind in kinds}
    assert len(folders) == len(kinds)  # the judge is a model of its own
    assert all(Path(folder).is_dir() for folder in folders)
    assert model_path("owner/model", "base") == "owner/model"
