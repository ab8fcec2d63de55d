"""Places that cannot be meant are refused by what is wrong with them (D05)."""

from pathlib import Path

import pytest

from storage.errors import HcpError, PlaceError
from storage.layout import Root
from storage.locations import normalised
from storage.sources import resolve_source

UNMEANT = {
    "an unset variable": ("", "is empty"),
    "blanks": (" \t", "is empty"),
    "a template": ("{{ $HCP_ROOT }}", "not filled in"),
    "a template below a folder": ("/data/{{ prefect.variables.name }}/x", "not filled in"),
    "a shell's variable": ("$HCP_ROOT/data", "not filled in"),
    "one in braces": ("s3://${BUCKET}/data", "not filled in"),
    "one of Windows": ("%HCP_ROOT%/data", "not filled in"),
    "no bucket": ("s3:///hcp", "no bucket"),
    "nothing but a scheme": ("gs://", "no bucket"),
    "no account": ("abfss:///hcp", "no bucket"),
    "one slash": ("s3:/bucket/hcp", "'s3://bucket/hcp'"),
    "one slash of pathlib": (str(Path("gs://bucket/hcp")), "'gs://bucket/hcp'"),
    "one slash of file": ("file:/data/hcp", "'file:///data/hcp'"),
    "a relative path as a URL": ("file://data/hcp", "three slashes"),
    "a URL without a path": ("file://", "names no folder"),
    "the disk's root as a URL": ("file:///", "names no folder"),
    "a zero byte": ("/data\0", "zero byte"),
}


@pytest.mark.parametrize("name", UNMEANT)
def test_d05_a_root_that_cannot_be_meant_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text, why = UNMEANT[name]
    for use in (Root.of, normalised, resolve_source):
        with pytest.raises(PlaceError, match=why) as refused:
            use(text)
        assert isinstance(refused.value, HcpError | ValueError)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["/", "//", "/.", "/data/..", "file:////"])
def test_d05_what_an_empty_variable_leaves_of_a_joined_path_is_refused(text: str) -> None:
    with pytest.raises(PlaceError, match=r"root of the disk|names no folder"):
        Root.of(text)


@pytest.mark.parametrize(
    "text",
    [
        "data", "./data", "~/data", "/data/a b", "/data/[2024] #1 100% (x)", "/data/$5 bill",
        "s3://bucket", "s3://bucket/a b", "gs://bucket/data/", "hdfs:///data", "memory://data",
        "file:///data", "file://localhost/data", "a:b", "C:/data", "data/x:y", "s3", "100%/x",
        "s3://bucket/{{00..03},{10..12}}.tar", "data/{train,val}/*.tar",
    ],
)  # fmt: skip
def test_places_that_people_use_are_none_of_them(text: str) -> None:
    assert normalised(text)
    assert Root.of(text).uri == normalised(text)


def test_a_folder_that_is_really_called_so_is_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("$RECYCLE", "{{ x }}", "s3:"):
        (tmp_path / name / "b").mkdir(parents=True)
        assert normalised(f"{name}/b") == str(tmp_path / name / "b")
