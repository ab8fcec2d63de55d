"""Who is told of a run that failed: notification blocks on the Prefect server."""

from dataclasses import dataclass
from typing import Any

_NAMES = {"webhook": "hcp-webhook", "slack": "hcp-slack", "email": "hcp-email"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Notify:
    """Where messages go; several ways may be given, and each gets every message once."""

    webhook: str | None = None  # a URL that takes JSON: {"subject": ..., "body": ...}
    slack: str | None = None  # URL of a Slack incoming webhook
    email: tuple[str, ...] = ()  # addresses, through SendGrid
    email_from: str | None = None  # its verified sender
    sendgrid_key: str | None = None
    block: str | None = None  # TYPE-SLUG/NAME of any notification block that is there already

    def __post_init__(self) -> None:
        for name in ("webhook", "slack"):
            url = getattr(self, name)
            if url is not None and not str(url).startswith(("http://", "https://")):
                raise ValueError(f"Notify.{name} must be a URL (http:// or https://), got {url!r}")
        mail = (bool(self.email), bool(self.email_from), bool(self.sendgrid_key))
        if any(mail) and not all(mail):
            raise ValueError(
                "Notify.email needs addresses, email_from and sendgrid_key (Prefect's e-mail block "
                f"sends through SendGrid), got {self.email}, {self.email_from!r} and "
                f"{'a key' if self.sendgrid_key else 'no key'}; for another mail server make a "
                "block with an Apprise URL (mailtos://...) and give its name as block"
            )
        if self.block is not None and self.block.count("/") != 1:
            raise ValueError(f"Notify.block must be TYPE-SLUG/NAME, got {self.block!r}")

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
    if notify.email:
        fields = {"api_key": notify.sendgrid_key, "sender_email": notify.email_from}
        made["email"] = SendgridEmail.model_validate(fields | {"to_emails": list(notify.email)})
    ids: dict[str, str] = {}
    for kind, block in made.items():
        ids[_NAMES[kind]] = str(block.save(_NAMES[kind], overwrite=True))
    return ids | ({notify.block: _block_id(notify.block)} if notify.block else {})


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
