"""``hcp provision``: what the flows need on a Prefect server, in one command."""

import os
from typing import Annotated

import typer

from flows.cli.console import say, say_json
from flows.cli.options import AsJson

Value = str | None
Smtp = Annotated[
    Value,
    typer.Option(
        envvar="HCP_SMTP",
        help="smtp://, smtp+starttls:// or smtps://[USER:PASSWORD@]HOST[:PORT]; without it "
        "SendGrid sends, by the key in SENDGRID_API_KEY.",
    ),
]
PoolTypeOption = Annotated[
    Value, typer.Option(help="process, docker or kubernetes; default: as it is, or process.")
]
Webhook = Annotated[Value, typer.Option(help="URL told of failed runs, as JSON.")]
Block = Annotated[Value, typer.Option(help="TYPE-SLUG/NAME of a notification block that is there.")]
Image = Annotated[Value, typer.Option(help="Of a docker or kubernetes pool; see deploy/image.")]


def provision(
    pool: Annotated[str, typer.Option(help="Work pool; made where there is none.")] = "hcp",
    pool_type: PoolTypeOption = None,
    image: Image = None,
    source: Annotated[Value, typer.Option(help="Variable hcp_source: captioned photos.")] = None,
    root: Annotated[Value, typer.Option(help="hcp_root: where data sets live.")] = None,
    base: Annotated[Value, typer.Option(help="hcp_base: what is fine-tuned.")] = None,
    runs: Annotated[Value, typer.Option(help="hcp_runs: where checkpoints go.")] = None,
    reports: Annotated[Value, typer.Option(help="hcp_reports: where reports go.")] = None,
    checkpoint: Annotated[Value, typer.Option(help="hcp_checkpoint: what is evaluated.")] = None,
    webhook: Webhook = None,
    slack: Annotated[Value, typer.Option(help="Slack webhook told of failed runs.")] = None,
    email: Annotated[
        list[str] | None,
        typer.Option(help="Address told of failed runs; may be repeated."),
    ] = None,
    email_from: Annotated[Value, typer.Option(help="Sender of the e-mails.")] = None,
    smtp: Smtp = None,
    block: Block = None,
    as_json: AsJson = False,
) -> None:
    """Make pool, variables, locks, automations and deployments on the server of PREFECT_API_URL."""
    places = {
        "source": source, "root": root, "base": base, "runs": runs, "reports": reports,
        "checkpoint": checkpoint,
    }  # fmt: skip
    from flows.notices import Notify
    from flows.provision import provision as make
    from flows.work_pools import known_type

    sends = bool(email) and not smtp
    key = os.environ.get("SENDGRID_API_KEY") if sends else None  # no secret on a command line
    try:
        notify = Notify(
            webhook=webhook, slack=slack, email=tuple(email or ()), email_from=email_from,
            smtp=smtp, sendgrid_key=key, block=block,
        )  # fmt: skip
        given = {name: value for name, value in places.items() if value is not None}
        kind = None if pool_type is None else known_type(pool_type)
        lines = make(pool=pool, places=given, notify=notify or None, pool_type=kind, image=image)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    if as_json:
        say_json({"lines": lines})
        return
    for line in lines:
        say(line)
