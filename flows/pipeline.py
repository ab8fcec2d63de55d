"""The flow rebuild-and-train: photos in, an evaluated and registered checkpoint out."""

from prefect import flow

from flows.evaluate import evaluate_hcp
from flows.outcomes import PipelineOutcome
from flows.params import EvaluateParams, RebuildAndTrainParams, TrainParams
from flows.ray_session import ray_session
from flows.rebuild import rebuild_dataset
from flows.train import train_hcp


@flow(name="rebuild-and-train")
def rebuild_and_train(params: RebuildAndTrainParams) -> PipelineOutcome:
    """Run rebuild-dataset, train-hcp and evaluate-hcp as subflows over one Ray connection."""
    with ray_session(params.rebuild.ray_address):
        version = rebuild_dataset(params.rebuild)
        dataset = f"{params.rebuild.root}@{version}"
        trained = train_hcp(TrainParams.model_validate(dict(params.train) | {"dataset": dataset}))
        known = {"training_log": trained.log, "checkpoint": trained.adapter}
        known["dataset"] = params.evaluate.dataset or dataset
        evaluation = evaluate_hcp(EvaluateParams.model_validate(dict(params.evaluate) | known))
    return PipelineOutcome(dataset=dataset, train=trained, evaluation=evaluation)
