"""Who is told of a failed run: what would reach nobody is refused, an e-mail goes out."""

import socket
import threading

import pytest
from prefect.utilities.asyncutils import run_coro_as_sync

from flows.notices import Notify, apprise_url


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"webhook": "example.org/hook"}, "webhook must be a URL"),
        ({"slack": "#channel"}, "slack must be a URL"),
        ({"email": ("a@example.org",)}, "needs addresses and email_from"),
        ({"email": ("a@b.org",), "email_from": "c@b.org"}, "one way to send.*got neither"),
        ({"email": ("a@b.org",), "email_from": "c@b.org", "smtp": "b.org"}, "must begin with"),
        ({"block": "hcp-webhook"}, "TYPE-SLUG/NAME"),
    ],
)
def test_notices_that_would_reach_nobody_are_refused(given: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Notify(**given)


def test_an_e_mail_goes_out_by_smtp() -> None:
    """By the block that the server would load, to a mail server that keeps what it gets."""
    from prefect.blocks.notifications import SlackWebhook

    with socket.create_server(("127.0.0.1", 0)) as listener:
        got: list[str] = []
        thread = threading.Thread(target=take_mail, args=(listener, got))
        thread.start()
        port = listener.getsockname()[1]
        notify = Notify(
            email=("night@example.org", "day@example.org"),
            email_from="hcp@example.org",
            smtp=f"smtp://127.0.0.1:{port}",
        )
        block = SlackWebhook.model_validate({"url": apprise_url(notify)})
        with block.raise_on_failure():
            run_coro_as_sync(block.anotify("what went wrong", "hcp: failed"))
        thread.join(20)
    mail = "\n".join(got)
    assert "Subject: hcp: failed" in mail
    assert "MAIL FROM:<hcp@example.org>" in mail.replace("mail FROM", "MAIL FROM")
    assert "night@example.org" in mail


def take_mail(listener: socket.socket, got: list[str]) -> None:
    """The server's part of one SMTP conversation."""
    near, _ = listener.accept()
    with near, near.makefile("rw", newline="\r\n") as line:
        is_content = False
        line.write("220 test\n")
        line.flush()
        for said in line:
            got.append(said.strip())
            if is_content and said.strip() != ".":
                continue
            word = said.strip()[:4].upper()
            is_content = word == "DATA"
            answers = {"DATA": "354 go on", "QUIT": "221 bye"}
            line.write(f"{answers.get(word, '250 ok')}\n")
            line.flush()
            if word == "QUIT":
                return
