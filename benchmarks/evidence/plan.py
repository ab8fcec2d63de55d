"""From what is asked for to jobs in processes, and from their figures to the result."""

import argparse
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.evidence.checklist import Check, checklist
from benchmarks.evidence.data import (
    content_digest,
    drawn_dataset,
    drawn_reference,
    given_dataset,
    write_cache,
)
from benchmarks.evidence.export import committed_arms, export
from benchmarks.evidence.figures import Evidence, Judged
from benchmarks.evidence.job import Bench, Job, PromptChoice
from benchmarks.evidence.process import (
    CEILINGS,
    base_of,
    find_prompts,
    judge_ceiling,
    not_measured,
    photo_features,
    run_job,
    start,
)
from benchmarks.evidence.settings import FOLDER, EvidenceSettings, read_settings
from benchmarks.evidence.sizes import sized_configs
from benchmarks.evidence.standing import judge_standing
from benchmarks.evidence.table import rows
from demo.embedded import WEIGHTS_DIR
from flows.names import EMBEDDED, model_path
from hcp.training.config import TrainConfig
from priors.device import resolve_device
from storage.canonical import digest_of
from storage.versions import open_version, split_dataset

ADAPTERS_DIR = WEIGHTS_DIR / "adapters"
Failed = list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a command line asks for."""

    base: str
    dataset: str | None
    settings: EvidenceSettings
    work: Path
    arms: tuple[str, ...]
    prompts: str | None = None
    learning_rates: tuple[float, ...] = ()
    judge: str | None = None
    device: str = "cpu"
    workers: int = 1
    judge_only: bool = False
    export: Path | None = None
    rejudge: bool = False
    tuning: bool = False

    @classmethod
    def of(cls, given: argparse.Namespace, work: Path) -> "Given":
        """From the parsed options.

        Raises:
            ValueError: they do not fit each other; the message says what would.
        """
        drawn = given.base == EMBEDDED
        if not drawn and given.dataset is None:
            raise ValueError("--base of one's own needs --dataset ROOT[@VERSION], of hcp rebuild")
        settings = read_settings(
            given.settings or FOLDER / f"{'embedded' if drawn else 'sd15'}.yaml"
        )
        settings = settings.quick() if given.quick else settings
        changes: dict[str, Any] = {
            "seeds": given.seeds, "prompts": given.prompts_limit, "features": given.features,
        }  # fmt: skip
        settings = replace(settings, **{k: v for k, v in changes.items() if v is not None})
        if given.steps is not None:
            settings = replace(settings, training={**settings.training, "steps": given.steps})
        arms = tuple(given.arms.split(",")) if given.arms else tuple(settings.arms)
        if unknown := set(arms) - set(settings.arms) - {"base"}:
            raise ValueError(
                f"--arms: no {', '.join(unknown)}; there are {', '.join(settings.arms)}"
            )
        rates = tuple(float(rate) for rate in (given.learning_rates or "").split(",") if rate)
        return cls(
            base=given.base, dataset=given.dataset, settings=settings, work=work,
            arms=tuple(arm for arm in arms if arm != "base"), prompts=given.prompts,
            learning_rates=rates, judge=given.judge, device=resolve_device(given.device),
            workers=given.workers, judge_only=given.judge_only,
            export=given.export, rejudge=given.rejudge, tuning=given.tuning,
        )  # fmt: skip


def run(given: Given) -> tuple[dict[str, Any], list[Check], Failed]:
    """All of it; figures as plain data, the numbers to reach, and the jobs that failed."""
    start(None)
    bench = _bench(given)
    _standing(given, bench)  # a judge that is the teacher is refused before anything is done
    run_job(Job(arm="base", bench=bench, kind="base"))  # the others are compared with it
    failed, left_out = list[str](), dict[str, str]()
    tuned: Mapping[str, Mapping[float, float]] = {}
    if given.judge_only:
        jobs = _committed(bench, given.settings)
    else:
        given, left_out = _possible(given, bench)
        sizes = sized_configs(given.settings, given.arms, base_of(bench))
        if given.learning_rates:
            tuned = _tuned(given, bench, sizes, failed)
        jobs = [
            _job(given, bench, arm, seed, sizes, rate=_best(tuned.get(arm, {})))
            for seed in range(given.settings.seeds)
            for arm in given.arms
        ]
    places = _finished(jobs, given, failed)
    if given.export is not None:
        export(jobs, given.settings, given.export, base=given.base)
    evidence = _evidence(bench, places)
    checks = checklist(evidence, given.settings)
    result: dict[str, Any] = {
        "rows": rows(evidence, given.settings),
        "checks": [check.to_json() for check in checks],
        "tuning": {arm: {f"{rate:g}": score for rate, score in found.items()}
                   for arm, found in tuned.items()},
        "settings": _said(given, bench),
        "left_out": left_out,
        "not_measured": not_measured(bench),
        "failed": failed,
    }  # fmt: skip
    return result, checks, failed


def _possible(given: Given, bench: Bench) -> tuple[Given, dict[str, str]]:
    """Without the arms that cannot be judged on these prompts, and why."""
    if find_prompts(bench, bench.prompts).posed:
        return given, {}
    posed = [arm for arm in given.arms if given.settings.arms[arm].kind == "controlnet"]
    why = "the poses of these prompts are not known: held-out captions of a data set have them"
    arms = tuple(arm for arm in given.arms if arm not in posed)
    return replace(given, arms=arms), dict.fromkeys(posed, why)


def _bench(given: Given) -> Bench:
    settings, base = given.settings, model_path(given.base, "base")
    given.work.mkdir(parents=True, exist_ok=True)
    drawn = given.dataset is None
    if given.dataset is not None:
        dataset = reference = given_dataset(given.dataset)
    else:
        reference = drawn_reference(given.work, settings.reference_photos)
        dataset = reference  # of a run that trains nothing
        if not given.judge_only:
            dataset = drawn_dataset(given.work, settings.drawn_photos)
    if drawn and not given.judge_only:
        common = settings.train_config(next(iter(settings.arms)), seed=0, changes={})
        write_cache(dataset, common, base, given.device)
    evaluation = settings.evaluation()
    judge, bodies = evaluation.judge, evaluation.bodies
    bodies = None if bodies is None else model_path(bodies, "bodies")
    judge = replace(judge, weights=model_path(given.judge or judge.weights, "judge"))
    return Bench(
        work=str(given.work), base=base, base_digest=content_digest(base),
        dataset=f"{dataset.root.uri}@{dataset.id}", device=given.device,
        reference=f"{reference.root.uri}@{reference.id}",
        prompts=PromptChoice(n_people=settings.prompts, n_others=settings.others,
                             file=given.prompts, drawn_world=drawn,
                             purpose="tuning" if given.tuning else "reported"),
        drawing=settings.drawing, judge=judge, bodies=bodies,
        judge_digest=digest_of(
            [content_digest(name) for name in (judge.weights, *([bodies] if bodies else []))],
            hex_digits=16,
        ),
        features=settings.features, attention_photos=settings.attention_photos,
        reference_photos=settings.reference_photos, rejudge=given.rejudge,
        threads=1 if given.workers > 1 else None,
    )  # fmt: skip


def _job(
    given: Given, bench: Bench, arm: str, seed: int,
    sizes: Mapping[str, tuple[Mapping[str, Any], int]], *, rate: float | None,
) -> Job:  # fmt: skip
    changes, parameters = sizes[arm]
    if rate is not None:
        changes = {**changes, "learning_rate": rate}
    config: TrainConfig = given.settings.train_config(arm, seed=seed, changes=changes)
    kind = given.settings.arms[arm].kind
    return Job(arm=arm, bench=bench, seed=seed, kind=kind, config=config, parameters=parameters)


def _committed(bench: Bench, settings: EvidenceSettings) -> list[Job]:
    found = [
        Job(arm=arm, bench=bench, kind="given", checkpoint=str(ADAPTERS_DIR / folder))
        for folder, arm in committed_arms(settings).items()
        if (ADAPTERS_DIR / folder).is_dir()
    ]
    if not found:
        raise ValueError(f"--judge-only: expected adapters in {ADAPTERS_DIR}, got none")
    return found


def _tuned(
    given: Given, bench: Bench, sizes: Mapping[str, tuple[Mapping[str, Any], int]], failed: Failed
) -> dict[str, dict[float, float]]:
    """Of each arm the people score at each rate, on prompts that are never reported."""
    choice = replace(bench.prompts, purpose="tuning", n_people=given.settings.tuning_prompts)
    tuning = replace(bench, prompts=replace(choice, n_others=1))
    run_job(Job(arm="base", bench=tuning, kind="base"))
    jobs = {
        (arm, rate): _job(given, tuning, arm, 0, sizes, rate=rate)
        for arm in given.arms
        for rate in given.learning_rates
    }
    digest = find_prompts(tuning, tuning.prompts).digest
    done = set(_finished(list(jobs.values()), given, failed))
    scores: dict[str, dict[float, float]] = {}
    for (arm, rate), job in jobs.items():
        if (place := job.judged(digest)) in done:
            mean = Evidence(judged=[Judged.read(place)]).mean(arm, "people_score")
            assert mean is not None
            scores.setdefault(arm, {})[rate] = round(mean.mean, 5)
    return scores


def _best(scores: Mapping[float, float]) -> float | None:
    return max(scores, key=lambda rate: scores[rate]) if scores else None


def _finished(jobs: Sequence[Job], given: Given, failed: Failed) -> list[Path]:
    """Run the jobs; one that fails is named, and the others go on."""
    done: list[Path] = []

    def note(job: Job, run: Any) -> None:
        name = f"{job.arm}, seed {job.seed}"
        try:
            done.append(run())
            print(f"done: {name} ({len(done) + len(failed)} of {len(jobs)})", flush=True)
        except Exception as error:
            failed.append(f"{name}: {type(error).__name__}: {error}")
            print(f"FAILED: {failed[-1]}", flush=True)

    if given.workers == 1:
        for job in jobs:
            note(job, lambda job=job: run_job(job))
        return done
    pool = ProcessPoolExecutor(
        given.workers, mp_context=get_context("spawn"), initializer=start, initargs=(1,)
    )
    try:
        futures: dict[Future[Path], Job] = {pool.submit(run_job, job): job for job in jobs}
        for future in as_completed(futures):
            note(futures[future], future.result)
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C: those that have not begun do not
    return done


def _evidence(bench: Bench, places: Sequence[Path]) -> Evidence:
    digest = find_prompts(bench, bench.prompts).digest
    base = Job(arm="base", bench=bench, kind="base").judged(digest)
    ceilings = [judge_ceiling(bench, which) for which in CEILINGS]
    files = [base, *places, *(place for place in ceilings if place is not None)]
    return Evidence(judged=[Judged.read(place) for place in files], photos=photo_features(bench))


def _said(given: Given, bench: Bench) -> dict[str, Any]:
    judge = given.judge or given.settings.evaluation().judge.weights
    return asdict(given.settings) | {
        "arms": list(given.arms),
        "base": given.base, "base_digest": bench.base_digest, "device": given.device,
        "dataset": bench.dataset.rpartition("@")[2], "judge": judge,
        "judge_digest": bench.judge_digest, "judge_standing": _standing(given, bench),
        "prompts_from": find_prompts(bench, bench.prompts).source,
        "learning_rates_tried": list(given.learning_rates),
    }  # fmt: skip


def _standing(given: Given, bench: Bench) -> str:
    version = open_version(*split_dataset(bench.dataset))
    return judge_standing(bench.judge, version, given.settings.evaluation())
