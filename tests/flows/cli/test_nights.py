"""``hcp provision``: what its options cannot be; tests/flows/test_provision.py has a server."""

import pytest

from tests.flows.cli.command import typed


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--webhook", "example.org"), "Notify.webhook must be a URL"),
        (("--email", "a@example.org"), "needs addresses and email_from"),
        (("--block", "hcp-webhook"), "TYPE-SLUG/NAME"),
        (("--pool-type", "podman"), "one of process, docker, kubernetes"),
    ],
)
def test_a_mistake_is_told_before_anything_is_made(arguments: tuple[str, ...], said: str) -> None:
    done = typed("provision", *arguments)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())
