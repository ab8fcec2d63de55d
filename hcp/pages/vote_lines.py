"""A report on votes as plain lines, for a terminal."""

from collections.abc import Iterator, Sequence

from hcp.evaluation.votes import OUTCOMES, Rater, Share, VoteReport
from hcp.evaluation.win_rate import Rate

PROMPTS_EACH = 5  # at both ends of the table of prompts
TOO_FAST_S = 0.8  # a median below it: hardly anybody looks at two pictures in less
CLEAR = 0.05  # p below which a side bias is pointed out


def vote_lines(report: VoteReport, *, level: float = 0.95) -> list[str]:
    """The report, the answer first."""
    return [
        *_headline(report, level),
        "",
        *_facts(report, level),
        "",
        *_table(
            (
                "rater",
                "pairs",
                "b wins",
                "ties",
                "same again",
                "left",
                "checks",
                "s a pair",
                "done",
            ),
            [_rater_row(rater) for rater in report.raters],
        ),
        *_prompts(report),
        *_doubts(report),
    ]


def _headline(report: VoteReport, level: float) -> Iterator[str]:
    yield f"b wins {_rate(report.win_rate, level)}; ties count half"
    if report.win_rate_without_ties is not None:
        yield f"without ties {_rate(report.win_rate_without_ties, level)}"
    yield f"  b: {report.b}"
    yield f"  a: {report.a}"
    yield f"  {report.question}"


def _facts(report: VoteReport, level: float) -> Iterator[str]:
    counts = ", ".join(f"{report.votes[each]} {_SAID[each]}" for each in OUTCOMES)
    yield f"votes: {counts}; {len(report.raters)} raters, {report.n_pairs} pairs"
    sign = report.sign_test
    yield (
        f"sign test over {report.n_units} {report.unit}: {sign.b} for b, {sign.a} for a, "
        f"{sign.even} even, p = {_p(sign.p)}"
    )
    if report.agreement is not None:
        alike = f"; {_percent(report.same_votes)} of pairs of votes are the same"
        yield (
            f"agreement of raters: Krippendorff's alpha {report.agreement.mean:.2f} "
            f"({_level(level)} {report.agreement.low:.2f} to {report.agreement.high:.2f}){alike}"
        )
    yield f"repeated pairs answered alike: {_share(report.consistency)}"
    yield f"left picture chosen: {_share(report.left)}, p = {_p(report.left.p or 0.0)}"
    if report.seconds is not None:
        yield f"seconds a vote, median: {report.seconds:.1f}"
    for name, why in report.not_measured.items():
        yield f"not measured: {name.replace('_', ' ')}: {why}"


_SAID = {"b": "for b", "tie": "ties", "a": "for a", "cannot_say": "cannot say"}


def _rater_row(rater: Rater) -> tuple[str, ...]:
    votes = rater.votes
    return (
        rater.name,
        str(sum(votes.values())),
        _percent(rater.win_rate),
        str(votes["tie"]),
        _of(rater.consistency),
        _percent(rater.left.count / rater.left.of if rater.left.of else None),
        _of(rater.checks),
        "" if rater.seconds is None else f"{rater.seconds:.1f}",
        "yes" if rater.complete else "no",
    )


def _prompts(report: VoteReport) -> Iterator[str]:
    prompts = report.prompts
    if len(prompts) < 2:
        return
    yield ""
    few = len(prompts) <= 2 * PROMPTS_EACH
    rows = prompts if few else (*prompts[:PROMPTS_EACH], *prompts[-PROMPTS_EACH:])
    title = "prompt" if few else f"prompt ({PROMPTS_EACH} at each end; --json has all)"
    yield from _table(
        (title, "b wins", "for b", "ties", "for a", "cannot say"),
        [
            (row.prompt or "(none)", _percent(row.win_rate), *(str(row.votes[o]) for o in OUTCOMES))
            for row in rows
        ],
    )


def _doubts(report: VoteReport) -> Iterator[str]:
    """What speaks against believing the votes."""
    doubts = [
        f"{rater.name} {what}"
        for rater in report.raters
        for what in (
            rater.checks.of > rater.checks.count
            and f"missed {rater.checks.of - rater.checks.count} of {rater.checks.of} checks",
            rater.seconds is not None
            and rater.seconds < TOO_FAST_S
            and f"took {rater.seconds:.1f} s a pair",
            not rater.complete and "stopped before the last pair",
        )
        if what
    ]
    if report.left.p is not None and report.left.p < CLEAR:
        doubts.append("raters prefer one side, whatever is there")
    if doubts:
        yield ""
        yield f"to look at: {'; '.join(doubts)}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    for row in (heads, *rows):
        first = row[0].ljust(widths[0])
        rest = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        yield "  ".join((first, *rest)).rstrip()


def _rate(rate: Rate, level: float) -> str:
    if rate.low is None or rate.high is None:
        return f"{100 * rate.mean:.1f} %"
    ends = f"{100 * rate.low:.1f} to {100 * rate.high:.1f}"
    return f"{100 * rate.mean:.1f} % ({_level(level)} {ends})"


def _level(level: float) -> str:
    return f"{100 * level:g} % interval"


def _share(share: Share) -> str:
    return (
        f"{share.count} of {share.of} ({_percent(share.count / share.of)})" if share.of else "none"
    )


def _of(share: Share) -> str:
    return f"{share.count} of {share.of}" if share.of else ""


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.0f} %"


def _p(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else f"{p:.1g}"
