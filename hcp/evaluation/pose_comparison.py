"""Do the drawn people do what was asked? The poses of all models, added to a report."""

from dataclasses import replace

from hcp.evaluation.comparison import Pictures
from hcp.evaluation.interval import mean_of_known
from hcp.evaluation.measures import differences, not_measured, with_scores
from hcp.evaluation.people import counted_people
from hcp.evaluation.poses import PoseBook, pose_as_asked, pose_distance
from hcp.evaluation.results import BASE, EvaluationReport
from hcp.tokens.counting import expected_people


def with_poses(
    report: EvaluationReport, pictures: Pictures, poses: PoseBook | None
) -> EvaluationReport:
    """The report with ``pose_as_asked`` and ``pose_distance``, or why they were not measured."""
    if poses is None or not poses.actions:
        why = "no dataset of people is given"
        if poses is not None:
            why = "no caption of the dataset's people who pass the gate names an action"
        return not_measured(report, pose_as_asked=why, pose_distance=why)
    measured = {name: [[poses.distances(p) for p in counted_people(people)] for people in found]
                for name, found in pictures.people.items()}  # fmt: skip
    expected = [expected_people(prompt) for prompt in pictures.prompts]
    asked = {
        name: [
            pose_as_asked(people, prompt, n_expected=n, book=poses)
            for people, prompt, n in zip(found, pictures.prompts, expected, strict=True)
        ]
        for name, found in measured.items()
    }  # None, in every arm, where the prompt's action cannot be judged
    arms = {
        name: replace(
            arm,
            pose_as_asked=mean_of_known(asked[name]),
            pose_distance=mean_of_known(
                [pose_distance(p) for p, n in zip(measured[name], expected, strict=True) if n != 0]
            ),
        )
        for name, arm in report.arms.items()
    }
    report = with_scores(replace(report, arms=arms), "pose_as_asked", asked)
    if unseen := [name for name, arm in arms.items() if arm.pose_distance is None]:
        why = f"nobody with enough joints was found in the pictures of {', '.join(unseen)}"
        report = not_measured(report, pose_distance=why)
    if all(value is None for value in asked[BASE]):
        why = "no prompt names an action that enough people of the dataset's captions do"
        return not_measured(report, pose_as_asked=why)
    found = differences(report, pictures, asked)
    comparisons = {
        other: replace(comparison, pose_as_asked=found.get(other))
        for other, comparison in report.comparisons.items()
    }
    return replace(report, comparisons=comparisons)
