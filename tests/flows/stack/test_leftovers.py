"""Flow runs that a power cut has left as running; ``test_up`` settles one on a real server."""

import pytest

from flows.stack.leftovers import MOST_STARTS, true_state


@pytest.mark.parametrize(
    ("run", "name", "said"),
    [
        ({"state_type": "RUNNING", "run_count": 1}, "AwaitingRetry", "goes on from there"),
        ({"state_type": "PENDING", "run_count": 0}, "AwaitingRetry", "what was committed is kept"),
        ({"state_type": "RUNNING", "run_count": MOST_STARTS}, "Crashed", "memory and logs"),
        ({"state_type": "CANCELLING", "run_count": 1}, "Cancelled", "went away"),
    ],
)
def test_each_gets_a_state_that_is_true(run: dict[str, object], name: str, said: str) -> None:
    state = true_state(run)
    assert state["name"] == name
    assert said in state["message"]
