"""Fixtures that several packages' tests share, and the guard of the quick tier."""

import hashlib
import io
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two processes share the cores
os.environ.setdefault("RAY_raylet_start_wait_time_s", "120")  # 30 are not enough for a busy machine

import numpy as np
import pytest
from PIL import Image

from storage.canonical import key_of
from storage.layout import Root
from storage.plan import make_unit
from storage.records import Person, Reject, Sample, SourceRecord, Span, Unit
from tests.hub_server import WRITE_TOKEN, Hub, serve_hub
from tests.postgres import NoPostgresError, Postgres, serve_postgres

_SERVERS = {"ray": ("raylet", "gcs_server"), "prefect": ("prefect server start", "prefect.server")}
_markers: set[str] = set()  # of the test that runs


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A stand-in of the Hugging Face hub that this process's client asks, with an empty cache."""
    from huggingface_hub import constants

    with serve_hub() as hub:
        # What the client made of the environment variables when it was imported.
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.removeprefix(constants.ENDPOINT)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.endpoint + template)
        monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # LFS instead
        monkeypatch.setenv("HF_TOKEN", WRITE_TOKEN)
        yield hub


@pytest.fixture(scope="session")
def assets() -> Path:
    """The folder of real photos and weights; the test is skipped where it is absent."""
    root = Path(os.environ.get("HCP_ASSETS", Path(__file__).parents[2] / "shared" / "assets"))
    if not (root / "index.json").is_file():
        pytest.skip(f"real photos not found: {root} (set HCP_ASSETS)")
    return root


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real PostgreSQL server; the test is skipped where none can be started."""
    try:
        with serve_postgres() as server:
            yield server
    except NoPostgresError as error:
        pytest.skip(str(error))


@pytest.fixture
def jpeg() -> Callable[..., bytes]:
    """A small photo's bytes; the seed makes photos differ."""

    def make(seed: int = 0, suffix: str = "JPEG") -> bytes:
        pixels = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, suffix)
        return buffer.getvalue()

    return make


@pytest.fixture
def make_sample(jpeg: Callable[..., bytes]) -> Callable[..., Sample]:
    """A sample of one person and one detection below the gate, for a source record."""

    def make(record: SourceRecord, seed: int = 0) -> Sample:
        mask = np.zeros((6, 8), np.uint8)
        mask[1:4, 2:5] = 1
        keypoints = tuple((1.0 + i / 3, 2.5, 0.123456) for i in range(17))
        box = (1.004, 1.0, 5.5, 4.25)
        return Sample(
            key=record.key,
            uri=record.uri,
            sha256=hashlib.sha256(str(seed).encode()).hexdigest(),
            phash=f"{seed:016x}",
            width_px=8,
            height_px=6,
            caption=record.caption or "",
            attributes=record.attributes,
            people=(
                Person(
                    bbox_xyxy_px=box,
                    score=0.87654321,
                    keypoints=keypoints,
                    passes_gate=True,
                    mask_area_px=9,
                    mask_score=0.5,
                ),
                Person(bbox_xyxy_px=box, score=0.3, keypoints=keypoints),
            ),
            human_spans=(Span(start=0, end=3, text=(record.caption or "")[:3], kind="person"),),
            image_jpeg=jpeg(seed),
            mask=mask,
        )

    return make


@pytest.fixture
def make_unit_of() -> Callable[..., Unit]:
    """A unit of n records."""

    def make(n: int, name: str = "a") -> Unit:
        uris = [f"{name}/{i:03}.jpg" for i in range(n)]
        return make_unit(
            (
                SourceRecord(
                    key=key_of(uri),
                    uri=uri,
                    caption=f"man {uri} smiles",
                    attributes={"n": i},
                    content_tag=f"tag{i}",
                )
                for i, uri in enumerate(uris)
            ),
            salt="test",
        )

    return make


@pytest.fixture
def fill_root(make_unit_of: Callable[..., Unit], make_sample: Callable[..., Sample]):
    """Commit units of 10 records (one of them rejected) and give their fingerprints."""

    def fill(root: str, n_units: int = 3) -> list[str]:
        from storage.shards import commit_unit

        names: list[str] = []
        for index in range(n_units):
            unit = make_unit_of(10, f"u{index}")
            refused = unit.records[3]
            commit_unit(
                Root.of(root),
                unit,
                outcomes=[
                    make_sample(record, seed=10 * index + i)
                    if record is not refused
                    else Reject(key=record.key, uri=record.uri, reason="no_person", detail="none")
                    for i, record in enumerate(unit.records)
                ],
            )
            names.append(unit.fingerprint)
        return names

    return fill


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    _markers.clear()
    _markers.update(marker.name for marker in item.iter_markers())


def _no_server_without_its_marker(event: str, args: tuple[object, ...]) -> None:
    if event != "subprocess.Popen":
        return
    words = args[1] if isinstance(args[1], list | tuple) else [args[1]]
    command = " ".join(str(word) for word in words)
    for marker, signs in _SERVERS.items():
        if marker not in _markers and any(sign in command for sign in signs):
            raise RuntimeError(f"a test that starts {command:.60} needs the marker {marker!r}")


sys.addaudithook(_no_server_without_its_marker)
