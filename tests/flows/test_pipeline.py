"""The whole product in one flow, small: photos in, an evaluated and registered checkpoint out."""

import json
import re
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
import torch
from prefect import flow

from demo.run import DemoSize, demo_params, summary
from demo.world.dataset import DrawnFolder
from flows import ablate_hcp, rebuild_and_train, train_hcp
from flows.ablate import AblationError
from flows.answers import table_row
from flows.cli.settings import merged
from flows.names import split_dataset
from flows.outcomes import AblateOutcome, PipelineOutcome
from flows.params import AblateParams, EvaluateParams, RebuildAndTrainParams, TrainParams
from flows.pictures import PictureJob, draw_pictures
from flows.pipeline import finished
from hcp import HcpAdapter
from hcp.evaluation.tasks import drawn_sets
from hcp.training.methods import load_trained
from storage.canonical import plain_json
from storage.errors import RegistryError
from storage.registry import Registry
from storage.versions import open_version
from tests.flows.cli.real_runs import json_of, plain
from tests.flows.metrics_endpoint import scraped

pytestmark = [
    pytest.mark.ray, pytest.mark.prefect, pytest.mark.slow, pytest.mark.usefixtures("one_ray")
]  # fmt: skip

FEW_PROMPTS = Path(__file__).parent / "few_prompts.txt"
SIZE = DemoSize(
    photos=1, unit_size=8, train_steps=6, seeds=1, inference_steps=2, prompts=FEW_PROMPTS
)


def params(drawn: DrawnFolder, out: Path) -> dict:
    own = {
        "rebuild": {"source": str(drawn.root), "workers": {"count": 1}},
        "train": {"training": {"batch_size": 4}},
        "evaluate": {"evaluation": {"max_photos": 2}},
    }
    return merged(demo_params(out, SIZE), own)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pipeline")


@pytest.fixture(scope="module")
def outcome(dataset: str, drawn: DrawnFolder, out: Path) -> PipelineOutcome:
    fields = params(drawn, out)
    # the dataset fixture's shards: the flow finds them committed and extracts nothing
    fields["rebuild"]["root"] = split_dataset(dataset)[0]
    return rebuild_and_train(RebuildAndTrainParams.model_validate(fields))


def test_the_run_ends_in_a_report_and_a_registered_checkpoint(
    outcome: PipelineOutcome, dataset: str, out: Path
) -> None:
    assert outcome.dataset == dataset
    assert outcome.train.steps == SIZE.train_steps
    entry = Registry(f"sqlite:///{out / 'registry.db'}").get("hcp", 1)
    assert entry.uri == outcome.train.adapter
    assert entry.tags["dataset_version"] == split_dataset(dataset)[1]
    adapter = HcpAdapter.from_pretrained(
        outcome.evaluation.registry_uri, tracking_uri=outcome.evaluation.tracking_uri
    )
    assert adapter.card.step == SIZE.train_steps
    card = (Path(outcome.train.adapter) / "README.md").read_text()
    assert "library_name: diffusers" in card
    assert "| people_score |" in card
    html = Path(outcome.evaluation.report).read_text()
    assert "http://" not in html.replace("http://www.w3.org", "")
    assert html.count("data:image/jpeg;base64,") > 12


def test_an_evaluation_s_page_has_progress_pictures_verdict_and_report(
    outcome: PipelineOutcome, prefect_api: str
) -> None:
    evaluated = {"flows": {"name": {"any_": ["evaluate-hcp"]}}, "sort": "EXPECTED_START_TIME_ASC"}
    answer = httpx.post(f"{prefect_api}/flow_runs/filter", json=evaluated)
    out = outcome.evaluation.report.rpartition("/")[0]
    (run,) = [each for each in answer.json() if each["parameters"]["params"]["out"] == out]
    wanted = {"artifacts": {"flow_run_id": {"any_": [run["id"]]}}}
    answer = httpx.post(f"{prefect_api}/artifacts/filter", json=wanted).raise_for_status()
    found = {each["key"]: each for each in answer.json()}
    assert {"draw", "samples", "verdict", "evaluation", "report"} <= set(found)
    drawn = found["draw"]
    n = len(outcome.evaluation.figures.config.pictures())
    total = int(re.match(r"(\d+)/\1 pictures, ", drawn["description"])[1])  # pyright: ignore
    assert total >= 2 * n  # base and candidate, photos, other domains
    assert (drawn["data"], "pictures/s, 0 s left" in drawn["description"]) == (100.0, True)
    assert found["samples"]["data"].startswith("data:image/jpeg;base64,")
    assert found["samples"]["description"] == "Same prompts and seeds: base against candidate"
    assert found["verdict"]["data"].startswith("# Gate ")
    assert outcome.evaluation.report in found["report"]["data"]


def test_the_training_s_mlflow_run_holds_it_all(outcome: PipelineOutcome) -> None:
    from mlflow import MlflowClient

    where = outcome.train.tracking_uri
    assert where == outcome.evaluation.tracking_uri
    client = MlflowClient(tracking_uri=where, registry_uri=where)
    run = client.get_run(outcome.train.mlflow_run)
    assert run.info.status == "FINISHED"
    assert {"loss", "attention_share", "evaluation/candidate.people_score"} <= set(run.data.metrics)
    assert run.data.params["training.steps"] == str(SIZE.train_steps)
    files = [file.path for name in ("samples", "evaluation") for file in
             client.list_artifacts(run.info.run_id, name)]  # fmt: skip
    assert files == [
        "samples/step-00000000.png", "samples/step-00000006.png", "evaluation/report.html"
    ]  # fmt: skip


def test_prompts_without_people_are_untouched(outcome: PipelineOutcome) -> None:
    candidate = outcome.evaluation.figures.arms["candidate"]
    assert (candidate.pixel_difference, candidate.identical_share) == (0.0, 1.0)


def test_the_demo_table_names_every_figure(outcome: PipelineOutcome, drawn: DrawnFolder) -> None:
    rows = summary(outcome, n_photos=len(drawn.seeds) + len(drawn.defects))
    version = open_version(*split_dataset(outcome.dataset))
    assert rows["images"] == str(version.n_samples + version.n_rejects)
    assert "no_caption" in rows["rejects"]
    assert "not measured" not in " ".join(rows.values())


def test_the_training_log_has_every_step(outcome: PipelineOutcome) -> None:
    lines = [json.loads(line) for line in Path(outcome.train.log).read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, SIZE.train_steps + 1))


def test_nothing_changed_trains_and_registers_nothing(
    outcome: PipelineOutcome, dataset: str, drawn: DrawnFolder, out: Path
) -> None:
    fields = params(drawn, out)
    fields["rebuild"]["root"] = split_dataset(dataset)[0]
    registry, runs = Registry(f"sqlite:///{out / 'registry.db'}"), out / "training"
    before = sorted(path.name for path in runs.iterdir())
    start = time.monotonic()
    again = rebuild_and_train(RebuildAndTrainParams.model_validate(fields))
    assert time.monotonic() - start < 30
    assert again == outcome.model_copy(update={"unchanged": True})
    assert sorted(path.name for path in runs.iterdir()) == before
    with pytest.raises(RegistryError):
        registry.get("hcp", 2)


def test_what_an_earlier_run_made_must_still_be_there(outcome: PipelineOutcome, out: Path) -> None:
    (record,) = (out / "training" / "pipelines").iterdir()

    @flow
    def ask() -> bool:
        return finished(str(record)) is not None

    assert ask()
    report = Path(outcome.evaluation.report)
    report.rename(out / "elsewhere.html")
    assert not ask()
    (out / "elsewhere.html").rename(report)
    card = Path(outcome.train.adapter) / "adapter_config.json"
    content = card.read_bytes()
    card.write_bytes(content + b" ")
    assert not ask()
    card.write_bytes(content)
    assert ask()


def test_a_training_begins_with_a_registered_version_on_the_version_it_is_told(
    outcome: PipelineOutcome, drawn: DrawnFolder, out: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fields = params(drawn, out)["train"] | {
        "dataset": str(out / "another"),  # the deployment's own; an event names the version
        "out": str(out / "nightly"),
        "registry": outcome.evaluation.tracking_uri,
    }
    fields["training"] |= {
        "init_from": outcome.evaluation.registry_uri, "steps": 1, "learning_rate": 1e-9,
        "ema_decay": None,
    }  # fmt: skip
    nightly = train_hcp(TrainParams.model_validate(fields), dataset=outcome.dataset)
    assert nightly.dataset == outcome.dataset
    former, ours = (
        HcpAdapter.from_pretrained(place) for place in (outcome.train.adapter, nightly.adapter)
    )
    assert (former.card.step, ours.card.step) == (SIZE.train_steps, 1)
    for before, after in zip(former.parameters(), ours.parameters(), strict=True):
        assert torch.allclose(before, after, atol=1e-6)
    given = TrainParams.model_validate(fields | {"dataset": outcome.dataset})
    said = json_of(capfd, "train", plain(given), out, "--resume")  # it has ended: no step
    assert (said["checkpoint"], said["steps"]) == (nightly.checkpoint, 1)


@contextmanager
def one_worker_killed() -> Generator[list[int]]:
    """Kill the first worker that is seen to draw; its process id, once that is done."""
    killed, over = list[int](), threading.Event()

    def watch() -> None:
        while not killed and not over.wait(0.02):
            for process in psutil.Process().children(recursive=True):
                with suppress(psutil.Error):
                    if "ray::_Worker.process" in " ".join(process.cmdline()):
                        process.kill()
                        killed.append(process.pid)
                        return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def test_an_evaluation_on_two_workers_says_the_same_to_the_bit_though_one_dies(
    outcome: PipelineOutcome, drawn: DrawnFolder, out: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fields = params(drawn, out)["evaluate"] | {
        "checkpoint": outcome.train.adapter, "dataset": outcome.dataset, "tasks": 2,
        "training_log": outcome.train.log, "out": str(out / "apart"), "register_model": False,
    }  # fmt: skip
    with one_worker_killed() as killed:
        said = json_of(capfd, "evaluate", plain(EvaluateParams.model_validate(fields)), out)
    assert len(killed) == 1
    assert said["report"] == str(out / "apart" / "report.html")
    whole = outcome.evaluation.model_dump(exclude={"figures": {"scores", "photo_scores"}})
    assert said["figures"] == json.loads(json.dumps(plain_json(whole["figures"], depth=50)))
    of = [Path(report).with_name("scores.json").read_bytes() for report in
          (said["report"], outcome.evaluation.report)]  # fmt: skip
    assert of[0] == of[1]
    photos = scraped("ray_hcp_photos_total", "flow", patience_s=60)  # from Ray's metrics endpoint
    assert photos["evaluate-hcp"] >= len(outcome.evaluation.figures.config.pictures())


def ablation(outcome: PipelineOutcome, drawn: DrawnFolder, out: Path, **own: Any) -> AblateParams:
    fields = params(drawn, out.parent)
    fields["evaluate"] |= {"register_model": False, "dataset": outcome.dataset}
    fields["train"] |= {"out": str(out), "dataset": outcome.dataset}
    fields["train"]["training"] |= {"steps": 2, "learning_rate": 1e-2, "ema_decay": None}
    return AblateParams.model_validate(
        {"train": fields["train"], "evaluate": fields["evaluate"], **own}
    )


BROKEN = {"no-place": {"hcp.map_scales": [16]}}


@pytest.fixture(scope="module")
def ablated(outcome: PipelineOutcome, drawn: DrawnFolder, out: Path) -> AblateOutcome:
    """Three trainings one after the other, of which one fails."""
    wanted = ablation(
        outcome, drawn, out / "ablation", variants=["attention"], own=BROKEN, parallel=1
    )
    with pytest.raises(AblationError, match=r"1 of 3 trainings failed: no-place: .*map_scales"):
        ablate_hcp(wanted)
    try:  # the adapters and reports are there: only the failed one is tried again
        ablate_hcp(wanted)
    except AblationError as error:
        return error.outcome
    raise AssertionError("the broken variant ended")


def test_an_ablation_goes_on_where_a_variant_fails(ablated: AblateOutcome, out: Path) -> None:
    assert [each.variant for each in ablated.variants] == ["default", "attention"]
    assert list(ablated.failed) == ["no-place"]
    assert "no cross-attention at stages" in ablated.failed["no-place"]
    rows = [table_row(each) for each in ablated.variants]
    for row in rows:
        assert float(row["low"]) <= float(row["to base"]) <= float(row["high"])
        assert Path(str(row["report"])).is_file()
    hcp, attention = (each.evaluation.figures for each in ablated.variants)
    assert (rows[0]["drift"], hcp.methods["candidate"]) == (0.0, "hcp+residual+pixel")
    assert all(int(row["parameters"]) > 0 for row in rows)
    assert float(rows[1]["drift"]) > 0.0
    assert attention.methods["candidate"] == "attention"
    assert attention.arms["candidate"].attention_share is not None
    assert attention.not_measured["human_map_share"] == "no model has HcP layers"
    (row,) = [row for row in ablated.tables["method"] if row["variant"] == "attention"]
    assert " to " in str(row["people score, to default"])
    text = (out / "ablation" / "ablation.md").read_text()
    assert "## Is it the layer, or would another method do?" in text
    assert "- `no-place`: did not end" in text


def test_an_ablation_draws_the_base_once(ablated: AblateOutcome, out: Path) -> None:
    files = list((out / "ablation" / "base-pictures").iterdir())
    config = ablated.variants[0].evaluation.figures.config
    n, counts = len(config.pictures()), list[int]()
    for file in files:
        with np.load(file) as kept:
            counts.append(kept["pictures"].shape[0])
    sets = drawn_sets(config, ["base"])  # the prompts, and those of other domains
    assert sorted(counts) == sorted(len(wanted.pictures()) for _, wanted in sets)
    assert n in counts
    written = json.loads((out / "ablation" / "attention" / "report" / "scores.json").read_text())
    assert len(written["pictures"]) == n


def test_an_ablation_trains_and_evaluates_what_is_missing_alone(
    ablated: AblateOutcome, outcome: PipelineOutcome, drawn: DrawnFolder, out: Path
) -> None:
    for each in ablated.variants:  # one attempt each, though the ablation was started twice
        runs = list((out / "ablation" / each.variant).glob("train-*"))
        assert len(runs) == 1
    trained = {each.variant: Path(each.train.log).stat().st_mtime_ns for each in ablated.variants}
    record = out / "ablation" / "attention" / "variant.json"
    content = json.loads(record.read_text()) | {"trained": None, "evaluation": None}
    record.write_text(json.dumps(content))  # as if it had been killed before it was noted down
    again = ablate_hcp(ablation(outcome, drawn, out / "ablation", variants=["attention"]))
    assert again.failed == {}
    assert {each.variant for each in again.variants} == set(trained)
    assert [each.train.adapter for each in again.variants] == [
        each.train.adapter for each in ablated.variants
    ]
    assert len(list((out / "ablation" / "attention").glob("train-*"))) == 1
    for one, other in zip(again.variants, ablated.variants, strict=True):
        assert one.evaluation.figures == other.evaluation.figures


def test_variants_at_a_time_give_the_bits_of_one_after_the_other(
    ablated: AblateOutcome, outcome: PipelineOutcome, drawn: DrawnFolder, out: Path
) -> None:
    wanted = ablation(outcome, drawn, out / "parallel", variants=["attention"], parallel=2)
    found = ablate_hcp(wanted)
    for one, other in zip(found.variants, ablated.variants, strict=True):
        assert one.variant == other.variant
        assert one.evaluation.figures == other.evaluation.figures
        assert (one.train.first, one.train.last) == (other.train.first, other.train.last)
        assert Path(one.train.adapter).name == Path(other.train.adapter).name  # the digest
    assert found.tables["method"] == ablated.tables["method"]


def test_what_an_ablation_trained_is_used_as_any_other(ablated: AblateOutcome, out: Path) -> None:
    trained = ablated.variants[1].train.adapter
    assert load_trained(trained).card.method == "attention"
    assert "Weights of the method attention" in (Path(trained) / "README.md").read_text()
    pictures = out / "pictures"
    job = PictureJob(
        base="embedded", checkpoint=trained, prompt="a woman dancing", steps=1,
        strengths=(0.0, 1.0), maps=True, out=pictures, device="cpu",
    )  # fmt: skip
    assert {path.name for path in draw_pictures(job)} >= {
        "001-seed0-strength0.png", "001-seed0-strength1.maps.png", "grid.png",
    }  # fmt: skip
