"""Who is told of a run that failed: notification blocks on the Prefect server."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

_MODES = {
    "smtp": ("mailto", "insecure"),
    "smtp+starttls": ("mailtos", "starttls"),
    "smtps": ("mailtos", "ssl"),
}
"""Apprise's scheme and mode, by ours."""
_NAMES = {"webhook": "hcp-webhook", "slack": "hcp-slack", "email": "hcp-email"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Notify:
    """Where messages go; several ways may be given, and each gets every message once."""

    webhook: str | None = None  # a URL that takes JSON: {"subject": ..., "body": ...}
    slack: str | None = None  # URL of a Slack incoming webhook
    email: tuple[str, ...] = ()  # addresses, by `smtp` or through SendGrid
    email_from: str | None = None  # the sender
    smtp: str | None = None  # smtp://, smtp+starttls:// or smtps:// [USER:PASSWORD@]HOST[:PORT]
    sendgrid_key: str | None = None
    block: str | None = None  # TYPE-SLUG/NAME of any notification block that is there already

    def __post_init__(self) -> None:
        for name in ("webhook", "slack"):
            url = getattr(self, name)
            if url is not None and not str(url).startswith(("http://", "https://")):
                raise ValueError(f"Notify.{name} must be a URL (http:// or https://), got {url!r}")
        if self.email or self.email_from or self.smtp:
            self._check_email()
        if self.block is not None and self.block.count("/") != 1:
            raise ValueError(f"Notify.block must be TYPE-SLUG/NAME, got {self.block!r}")

    def _check_email(self) -> None:
        if not self.email or not self.email_from:
            raise ValueError(
                f"Notify.email needs addresses and email_from, got {self.email} and "
                f"{self.email_from!r}"
            )
        if bool(self.smtp) == bool(self.sendgrid_key):
            raise ValueError(
                "Notify.email needs one way to send: smtp (smtp://HOST:PORT) or sendgrid_key, got "
                f"{'both' if self.smtp else 'neither'}"
            )
        if self.smtp and urlsplit(self.smtp).scheme not in _MODES:
            scheme = urlsplit(self.smtp).scheme  # the rest may hold a password
            raise ValueError(
                f"Notify.smtp must begin with one of {', '.join(_MODES)}, got {scheme}"
            )

    def __bool__(self) -> bool:
        """Whether anybody is told."""
        return any((self.webhook, self.slack, self.email, self.block))


def save_blocks(notify: Notify) -> dict[str, str]:
    """Make or renew the blocks of what was asked for: their ids by their names."""
    from prefect.blocks.notifications import (
        CustomWebhookNotificationBlock,
        SendgridEmail,
        SlackWebhook,
    )

    made: dict[str, Any] = {}
    if notify.webhook is not None:
        content = {"subject": "{{subject}}", "body": "{{body}}"}
        fields = {"name": _NAMES["webhook"], "url": notify.webhook, "json_data": content}
        made["webhook"] = CustomWebhookNotificationBlock.model_validate(fields)
    if notify.slack is not None:
        made["slack"] = SlackWebhook.model_validate({"url": notify.slack})
    if notify.smtp:  # Prefect has no block of its own for it; this one takes any Apprise URL
        made["email"] = SlackWebhook.model_validate({"url": apprise_url(notify)})
    elif notify.email:
        fields = {"api_key": notify.sendgrid_key, "sender_email": notify.email_from}
        made["email"] = SendgridEmail.model_validate(fields | {"to_emails": list(notify.email)})
    ids: dict[str, str] = {}
    for kind, block in made.items():
        ids[_NAMES[kind]] = str(block.save(_NAMES[kind], overwrite=True))
    return ids | ({notify.block: _block_id(notify.block)} if notify.block else {})


def apprise_url(notify: Notify) -> str:
    """The mail server and the addresses as Apprise writes them, which Prefect's blocks take."""
    parts = urlsplit(notify.smtp or "")
    scheme, mode = _MODES[parts.scheme]
    query = {"from": notify.email_from or "", "to": ",".join(notify.email), "mode": mode}
    return f"{scheme}://{parts.netloc}?{urlencode(query)}"


def _block_id(place: str) -> str:
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    slug, name = place.split("/")
    with get_client(sync_client=True) as client:
        try:
            return str(client.read_block_document_by_name(name, slug).id)
        except ObjectNotFound:
            raise ValueError(
                f"there is no block {place} on the server: `prefect block ls` names those that are"
            ) from None
