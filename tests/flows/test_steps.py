"""How far a run is, told to who watches it."""

from flows.steps import Step, tell, watched_by


def test_steps_are_told_while_somebody_watches() -> None:
    told: list[Step] = []
    with watched_by(told.append):
        tell(Step("train", 1, 2, "half"))
    tell(Step("train", 2, 2, "all"))
    assert told == [Step("train", 1, 2, "half")]
