"""Weights: what is found, fetched, verified and refused."""

import hashlib
from pathlib import Path
from urllib.parse import urlparse

import pytest
import torch
from safetensors.torch import save_file

from priors import weights
from priors.weights import (
    KNOWN_WEIGHTS,
    KnownWeights,
    file_sha256,
    known_digests,
    resolve_weights,
)
from storage.errors import WeightsError
from tests.left_files import LEFT


@pytest.fixture
def pickle_file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.pt"
    torch.save({"a": torch.zeros(3)}, path)
    return path


def test_the_table_is_well_formed() -> None:
    for name, row in KNOWN_WEIGHTS.items():
        assert row.url.startswith("https://"), name
        for digest in row.sha256:
            assert len(digest) == 64
            assert int(digest, 16)
    for size in "nsmlx":
        assert KNOWN_WEIGHTS[f"yolo11{size}-pose.pt"].kind == "yolo-pose"
        assert KNOWN_WEIGHTS[f"yolo11{size}-seg.pt"].kind == "yolo-seg"


def test_an_unknown_pickle_needs_trust(pickle_file: Path) -> None:
    digest = hashlib.sha256(pickle_file.read_bytes()).hexdigest()
    with pytest.raises(WeightsError, match=digest) as refused:
        resolve_weights(pickle_file)
    assert str(pickle_file) in str(refused.value)
    assert "trust_weights" in str(refused.value)
    assert resolve_weights(pickle_file, trust=True).sha256 == digest


def test_any_suffix_but_safetensors_counts_as_a_pickle(pickle_file: Path) -> None:
    for suffix in (".pth", ".bin", ".ckpt", ""):
        with pytest.raises(WeightsError, match="pickle"):
            resolve_weights(pickle_file.rename(pickle_file.with_suffix(suffix)))
        pickle_file.with_suffix(suffix).rename(pickle_file)


def test_a_pickle_in_the_table_is_trusted(
    pickle_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = hashlib.sha256(pickle_file.read_bytes()).hexdigest()
    monkeypatch.setitem(weights._KIND_OF_DIGEST, digest, "yolo-seg")
    found = resolve_weights(pickle_file)
    assert (found.sha256, found.kind) == (digest, "yolo-seg")


def test_safetensors_are_always_fine(tmp_path: Path) -> None:
    path = tmp_path / "vit_b.safetensors"
    save_file({"a": torch.zeros(3)}, path)
    assert resolve_weights(path).kind == "sam_vit_b"


def test_a_directory_hashes_weights_and_config(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(3)}, tmp_path / "model.safetensors")
    (tmp_path / "model.yaml").write_text("nc: 1\n")
    first = resolve_weights(tmp_path).sha256
    (tmp_path / "README.md").write_text("not part of the model")
    assert resolve_weights(tmp_path).sha256 == first
    (tmp_path / "model.yaml").write_text("nc: 2\n")
    assert resolve_weights(tmp_path).sha256 != first


def test_a_directory_without_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "weights.pt").write_bytes(b"")
    with pytest.raises(WeightsError, match="safetensors"):
        resolve_weights(tmp_path)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(WeightsError, match=r"yolo11n-pose\.pt") as unknown:
        resolve_weights("yolo99-pose.pt")
    assert "yolo99-pose.pt" in str(unknown.value)


def test_a_url_is_fetched_once_and_verified(pickle_file: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    url = pickle_file.as_uri()
    with pytest.raises(WeightsError, match="pickle"):
        resolve_weights(url, cache=cache)
    found = resolve_weights(url, cache=cache, trust=True)
    assert found.path.parent == cache
    assert found.path.name.endswith("-mine.pt")
    assert list(cache.iterdir()) == [found.path]
    pickle_file.unlink()
    assert resolve_weights(url, cache=cache, trust=True).sha256 == found.sha256


def test_a_wrong_digest_of_a_known_name_is_an_error(
    pickle_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = KnownWeights(kind="yolo-pose", url=pickle_file.as_uri(), sha256=("0" * 64,))
    monkeypatch.setitem(KNOWN_WEIGHTS, "stub-pose.pt", row)
    for name, trust in (("stub-pose.pt", False), ("stub-pose.pt", True), (row.url, True)):
        with pytest.raises(WeightsError, match="0" * 64) as wrong:
            resolve_weights(name, cache=tmp_path / "cache", trust=trust)
        assert hashlib.sha256(pickle_file.read_bytes()).hexdigest() in str(wrong.value)
        assert "trust" not in str(wrong.value)


def test_two_urls_of_one_name_are_two_files(tmp_path: Path) -> None:
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        save_file({place: torch.zeros(1)}, tmp_path / place / "model.safetensors")
    urls = [(tmp_path / place / "model.safetensors").as_uri() for place in ("a", "b")]
    found = [resolve_weights(url, cache=tmp_path / "cache") for url in urls]
    assert found[0].path != found[1].path
    assert found[0].sha256 != found[1].sha256


def test_a_download_of_an_earlier_version_is_used_if_its_digest_is_known(
    pickle_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    digest = hashlib.sha256(pickle_file.read_bytes()).hexdigest()
    row = KnownWeights(kind="yolo-pose", url=pickle_file.as_uri(), sha256=(digest,))
    monkeypatch.setitem(KNOWN_WEIGHTS, "stub-pose.pt", row)
    monkeypatch.setitem(weights._KIND_OF_DIGEST, digest, "yolo-pose")
    earlier = pickle_file.rename(cache / Path(urlparse(row.url).path).name)
    assert resolve_weights("stub-pose.pt", cache=cache).path == earlier
    earlier.write_bytes(b"another file of that name")
    with pytest.raises(WeightsError, match="could not fetch"):
        resolve_weights("stub-pose.pt", cache=cache)


def test_a_file_is_hashed_once_while_it_does_not_change(tmp_path: Path) -> None:
    settled = Path(__file__)  # written long ago; what changed just now is hashed each time
    assert file_sha256(settled) == hashlib.sha256(settled.read_bytes()).hexdigest()
    before = weights._sha256.cache_info()
    assert file_sha256(settled) == file_sha256(settled)
    after = weights._sha256.cache_info()
    assert (after.hits, after.misses) == (before.hits + 2, before.misses)
    fresh = tmp_path / "fresh.safetensors"
    for data in (b"one", b"two"):
        fresh.write_bytes(data)
        assert file_sha256(fresh) == hashlib.sha256(data).hexdigest()


def test_a_failed_download_leaves_nothing(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with pytest.raises(WeightsError, match="could not fetch"):
        resolve_weights((tmp_path / "absent.pt").as_uri(), cache=cache)
    assert list(cache.iterdir()) == []


@pytest.mark.assets
def test_the_assets_are_known(assets: Path) -> None:
    pose = resolve_weights(assets / "weights" / "yolo11n-pose.pt")
    seg = resolve_weights(assets / "weights" / "yolo11n-seg.pt")
    assert (pose.kind, seg.kind) == ("yolo-pose", "yolo-seg")


def test_a_model_is_known_again_as_a_file_a_directory_and_a_copy(tmp_path: Path) -> None:
    for folder in ("own", "copy"):
        (tmp_path / folder).mkdir()
        save_file({"a": torch.arange(3.0)}, tmp_path / folder / "model.safetensors")
        (tmp_path / folder / "notes.json").write_text(folder)
    own, copy = resolve_weights(tmp_path / "own"), resolve_weights(tmp_path / "copy")
    alone = resolve_weights(tmp_path / "copy" / "model.safetensors")
    assert own.sha256 != copy.sha256  # what is beside the weights counts in fingerprints
    assert own.weights_sha256 == copy.weights_sha256 == alone.weights_sha256
    assert known_digests(str(tmp_path / "own")) == (own.weights_sha256,)
    save_file({"a": torch.arange(4.0)}, tmp_path / "own" / "more.safetensors")
    assert resolve_weights(tmp_path / "own").weights_sha256 != copy.weights_sha256


def test_digests_are_known_of_what_was_never_fetched(pickle_file: Path) -> None:
    nano = KNOWN_WEIGHTS["yolo11n-pose.pt"]
    assert known_digests("yolo11n-pose.pt") == known_digests("yolo11n-pose") == nano.sha256
    assert known_digests(nano.url) == nano.sha256
    assert known_digests("https://elsewhere.example/m.pt") == known_digests("nobody") == ()
    assert known_digests(str(pickle_file)) == (file_sha256(pickle_file),)


def test_no_two_pose_models_of_the_table_share_a_digest() -> None:
    digests = [d for row in KNOWN_WEIGHTS.values() for d in row.sha256]
    assert len(digests) == len(set(digests))


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".safetensors"])
@pytest.mark.parametrize("kind", ["lfs", "html", "text", "empty"])
def test_b03_what_a_download_left_is_named_before_trust_and_digests(
    kind: str, suffix: str, tmp_path: Path
) -> None:
    data, said = LEFT[kind]
    path = tmp_path / f"sam_vit_h{suffix}"
    path.write_bytes(data)
    for trust in (False, True):
        with pytest.raises(WeightsError, match=said) as refused:
            resolve_weights(path, trust=trust)
        assert "trust_weights" not in str(refused.value)


def test_b03_a_directory_is_looked_through(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(3)}, tmp_path / "model.safetensors")
    (tmp_path / "model.yaml").write_bytes(LEFT["lfs"][0])
    with pytest.raises(WeightsError, match=r"model\.yaml is a Git LFS pointer"):
        resolve_weights(tmp_path)


def test_b03_a_page_that_answers_a_download_is_not_kept(pickle_file: Path, tmp_path: Path) -> None:
    cache, url = tmp_path / "cache", pickle_file.as_uri()
    whole = pickle_file.read_bytes()
    pickle_file.write_bytes(LEFT["html"][0])
    with pytest.raises(WeightsError, match=r"gave no weights: .*HTML page"):
        resolve_weights(url, cache=cache, trust=True)
    assert list(cache.iterdir()) == []
    pickle_file.write_bytes(whole)
    found = resolve_weights(url, cache=cache, trust=True)
    found.path.write_bytes(LEFT["html"][0])  # as versions before this one kept it
    again = resolve_weights(url, cache=cache, trust=True)
    assert again.path.read_bytes() == whole
