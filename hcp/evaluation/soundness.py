"""Are the people's bodies sound? The body judge's figures in the report, and what it sees."""

from dataclasses import replace

from hcp.evaluation.bodies import BodyJudge
from hcp.evaluation.comparison import Pictures
from hcp.evaluation.interval import mean_of_known
from hcp.evaluation.measures import not_measured, with_pictures_measured
from hcp.evaluation.people import MIN_SCORE
from hcp.evaluation.results import EvaluationReport, MeasureCard
from hcp.tokens.counting import expected_people

CARD = MeasureCard(
    name="soundness",
    title="Sound bodies",
    note="of the people found, 0 to 1, by the body judge",
    better="higher",
)


def judged(pictures: Pictures, bodies: BodyJudge | None) -> Pictures:
    """The pictures with the soundness of everybody who was detected in them, if somebody judges."""
    if bodies is None:
        return pictures
    sound = {name: bodies(pictures.images[name], found) for name, found in pictures.people.items()}
    return replace(pictures, soundness=sound)


def with_soundness(
    report: EvaluationReport, pictures: Pictures, bodies: BodyJudge | None
) -> EvaluationReport:
    """The report with the mean soundness of the people found, or why it was not measured.

    Pictures of prompts without people do not count. What the judge was seen to see comes along.
    """
    if bodies is None:
        why = "no body judge is configured, so the people score goes without it"
        return not_measured(report, soundness=why)
    expected = [expected_people(prompt) for prompt in pictures.prompts]
    values = {
        name: [
            None
            if n == 0
            else mean_of_known(
                [s for p, s in zip(people, sound, strict=True) if p.score >= MIN_SCORE]
            )
            for n, people, sound in zip(expected, found, pictures.soundness[name], strict=True)
        ]
        for name, found in pictures.people.items()
    }
    report = with_pictures_measured(
        report, pictures, CARD, values, why="no person was found in the base's pictures"
    )
    return replace(report, seen_faults=bodies.sees)
