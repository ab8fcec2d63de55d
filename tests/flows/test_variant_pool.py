"""Several variants at a time: what ended well, and why the others did not."""

from concurrent.futures import Future

from flows.params import EvaluateSettings, TrainParams
from flows.variant_pool import collect, reason
from flows.variant_run import VariantJob, variant_job
from storage.errors import CheckpointError


def job(seed: int) -> VariantJob:
    train = TrainParams(dataset="/data@v1", base="embedded", out="/runs")
    evaluate = EvaluateSettings(base="embedded", out="/report", dataset="/data@v1")
    bases = {"train": "one", "evaluate": "two", "judges": "three"}
    return variant_job("gate-zero", seed, train=train, evaluate=evaluate, bases=bases)


def test_a_reason_is_one_line() -> None:
    assert reason(CheckpointError("no\n place")) == "no place"
    assert reason(RuntimeError("out of\nmemory")) == "RuntimeError: out of memory"
    assert len(reason(RuntimeError("x" * 9999))) == 400


def test_what_ended_well_is_kept_in_its_order_and_the_others_say_why() -> None:
    jobs = [job(seed=seed) for seed in (0, 1, 2)]
    futures = [Future[str]() for _ in jobs]
    futures[2].set_result("the third")
    futures[0].set_result("the first")
    futures[1].set_exception(CheckpointError("no place"))
    assert collect(jobs, futures) == (["the first", "the third"], {"gate-zero, seed 1": "no place"})
