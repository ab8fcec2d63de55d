"""Photos decoded elsewhere in the cluster: the same shards, and a deadly one costs itself only."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import priors_stubs
import pytest
import ray
from priors_stubs import photo_bytes, units_of
from ray import cloudpickle

from flows.ray_session import ray_session
from priors.config import PoolConfig
from priors.decode import Decode, DecodedPhoto, decode_photo
from priors.extract import Extractor, run_units_inline
from priors.gate import GateConfig, Refusal
from priors.pool import run_units
from priors.remote_decode import remote_decode
from storage.sources import Source

pytestmark = pytest.mark.ray
Photos = Callable[[Sequence[int]], Source]

DEADLY = b"deadly"


def decode_or_die(data: bytes, *, gate: GateConfig) -> DecodedPhoto | Refusal:
    if data == DEADLY:
        os._exit(1)
    return decode_photo(data, gate=gate)


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeStub:
    source: Source
    root: Path
    decode: Decode | None = None

    def __call__(self) -> Extractor:
        return priors_stubs.stub_extractor(self.source, self.root, decode=self.decode)


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    modules = (priors_stubs, sys.modules[MakeStub.__module__])
    for module in modules:  # workers cannot import test modules
        cloudpickle.register_pickle_by_value(module)
    with ray_session("local"):
        yield
    for module in modules:
        cloudpickle.unregister_pickle_by_value(module)


def test_shards_are_those_of_an_extractor_that_decodes_itself(
    photos: Photos, tmp_path: Path
) -> None:
    source = photos([1, 2, 0, 1, 3, 1, 0, 2, 1])
    units = units_of(source, size=3)
    with remote_decode(1) as decode:
        total = run_units(
            units,
            make_extractor=MakeStub(source=source, root=tmp_path / "remote", decode=decode),
            on_report=lambda report: None,
            config=PoolConfig(cpus_each=0.5, decode_cpus=1),
        )
    run_units_inline(
        units,
        make_extractor=MakeStub(source=source, root=tmp_path / "inline"),
        on_report=lambda report: None,
    )
    assert (total.n_samples, total.n_rejects, total.n_deaths) == (7, 2, 0)
    expected = sorted((tmp_path / "inline" / "shards").iterdir())
    assert len(expected) >= 4
    for path in expected:
        assert path.read_bytes() == (tmp_path / "remote" / "shards" / path.name).read_bytes()


def test_a_photo_that_kills_its_decoder_is_poison_and_the_next_one_is_decoded() -> None:
    gate = GateConfig()
    with remote_decode(1, decode=decode_or_die) as decode:
        dead = decode(DEADLY, gate=gate)
        broken = decode(b"no photo", gate=gate)
        good = decode(photo_bytes(1), gate=gate)
    assert isinstance(dead, Refusal)
    assert dead.reason == "poison"
    assert "3 times" in dead.detail
    assert isinstance(broken, Refusal)
    assert broken.reason == "unreadable"
    assert isinstance(good, DecodedPhoto)
    assert good.rgb.flags.writeable
    here = decode_photo(photo_bytes(1), gate=gate)
    assert isinstance(here, DecodedPhoto)
    assert (good.rgb == here.rgb).all()
    assert (good.jpeg, good.sha256, good.phash) == (here.jpeg, here.sha256, here.phash)


def test_the_reserved_cpus_are_given_back() -> None:
    total = ray.cluster_resources()["CPU"]
    with remote_decode(1):
        assert_available(total - 1)
    assert_available(total)


def assert_available(cpus: float, *, limit_s: float = 30) -> None:
    deadline = time.monotonic() + limit_s
    while (found := ray.available_resources().get("CPU", 0.0)) != cpus:  # Ray's view lags
        assert time.monotonic() < deadline, (found, cpus)
        time.sleep(0.1)
