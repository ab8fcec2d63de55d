"""The numbers that the project set itself, each with what was found and whether it was reached."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.evidence.figures import KID, MEASURES, Evidence, plain
from benchmarks.evidence.settings import BASE_ARM, EvidenceSettings
from hcp.evaluation.interval import Interval

LORA = "lora"
FAIR_SHARE, MORE_POSES, MORE_POSES_SHARE = 1 / 3, 0.10, 0.20
_ROUNDING = 1e-9  # of a mean of ones
KID_SHARE, PEOPLE_SHARE, ATTENTION_SHARE = 0.75, 1.10, 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One number to reach."""

    what: str
    target: str
    found: Interval | None  # None: not measured
    reached: bool | None  # None: not measured
    note: str = ""

    def to_json(self) -> dict[str, object]:
        """As plain data."""
        return {"what": self.what, "target": self.target, "found": plain(self.found),
                "reached": self.reached, "note": self.note}  # fmt: skip

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Check":
        """Inverse of ``to_json``."""
        found = None if data["found"] is None else Interval(**data["found"])
        return cls(what=data["what"], target=data["target"], found=found,
                   reached=data["reached"], note=data["note"])  # fmt: skip

    @property
    def state(self) -> str:
        """In a word."""
        return {True: "reached", False: "**missed**", None: "not measured"}[self.reached]

    @property
    def value(self) -> str:
        """What was found, with its interval."""
        note = f" ({self.note})" if self.note else ""
        return ("" if self.found is None else shown(self.found)) + note

    def line(self) -> str:
        """For people."""
        return f"{self.state:12} {self.what}, {self.target}: {self.value}"


def shown(interval: Interval, digits: int = 3) -> str:
    """A mean with its interval."""
    ends = (interval.mean, interval.low, interval.high)
    mean, low, high = (f"{round(value, digits) + 0.0:.{digits}f}" for value in ends)  # no -0
    return f"{mean} ({low} to {high})"


def checklist(evidence: Evidence, settings: EvidenceSettings) -> list[Check]:
    """All of them, in the order of the question."""
    parts = (_against_base, _against_lora, _drift, _attention)
    return [*_fair(evidence), *(check for part in parts for check in part(evidence, settings))]


def _fair(evidence: Evidence) -> Iterator[Check]:
    share = evidence.share_closed("full", BASE_ARM, "vae", "pose_as_asked")
    yield _check(
        "the bed is fair: share of the distance to the ceiling (through the VAE) in pose as asked "
        "that the whole U-Net closes", "at least 1/3", share,
        lambda found: found.mean >= FAIR_SHARE and found.low > 0,
    )  # fmt: skip


def _against_base(evidence: Evidence, settings: EvidenceSettings) -> Iterator[Check]:
    ours, base = settings.default, evidence.mean(BASE_ARM, "pose_as_asked")
    wanted = MORE_POSES if base is None else max(MORE_POSES, MORE_POSES_SHARE * base.mean)
    yield _check(
        f"{ours} minus base, pose as asked", f"at least +{wanted:.3f}",
        evidence.difference(ours, BASE_ARM, "pose_as_asked"),
        lambda found: found.mean >= wanted and found.low > 0,
    )  # fmt: skip
    yield _check(
        f"{ours} / base, KID", f"at most {KID_SHARE}", evidence.ratio(ours, BASE_ARM, KID),
        lambda found: found.mean <= KID_SHARE and found.high < 1,
    )  # fmt: skip
    yield _check(
        f"{ours} / base, people score", f"at least {PEOPLE_SHARE}",
        evidence.ratio(ours, BASE_ARM, "people_score"),
        lambda found: found.mean >= PEOPLE_SHARE and found.low > 1,
    )  # fmt: skip


def _against_lora(evidence: Evidence, settings: EvidenceSettings) -> Iterator[Check]:
    for name in ("pose_as_asked", KID, "people_score"):
        sign = MEASURES[name].better
        found = evidence.difference(settings.default, LORA, name)
        check = _check(
            f"{settings.default} minus {LORA}, {MEASURES[name].title}",
            "at least equal" if sign > 0 else "at most equal", found,
            lambda found, sign=sign: sign * found.mean >= 0,
        )  # fmt: skip
        undecided = found is not None and found.low <= 0 <= found.high
        yield Check(
            what=check.what, target=check.target, found=found, reached=check.reached,
            note="the interval holds 0" if undecided else "",
        )  # fmt: skip


def _drift(evidence: Evidence, settings: EvidenceSettings) -> Iterator[Check]:
    yield _check(
        f"{LORA}'s drift on prompts without people, levels of 255", "above 0",
        evidence.mean(LORA, "drift") if LORA in evidence.arms else None,
        lambda found: found.low > 0,
    )  # fmt: skip
    yield _check(
        f"{settings.default}'s share of pictures without people that are the base's to the bit",
        "all", _mean(evidence, settings.default, "identical"),
        lambda found: found.low > 1 - _ROUNDING,
    )  # fmt: skip


def _attention(evidence: Evidence, settings: EvidenceSettings) -> Iterator[Check]:
    ours = settings.default
    yield _check(
        f"{ours} / base, attention inside people", f"at least {ATTENTION_SHARE}",
        evidence.ratio(ours, BASE_ARM, "attention"),
        lambda found: found.mean >= ATTENTION_SHARE and found.low > 1,
    )  # fmt: skip
    yield _check(
        f"{ours} minus {settings.without_loss}, attention inside people", "above 0",
        evidence.difference(ours, settings.without_loss, "attention"),
        lambda found: found.low > 0,
    )  # fmt: skip


def _mean(evidence: Evidence, arm: str, name: str) -> Interval | None:
    return evidence.mean(arm, name) if arm in evidence.arms else None


def _check(
    what: str, target: str, found: Interval | None, reached: Callable[[Interval], bool]
) -> Check:
    state = None if found is None else bool(reached(found))
    return Check(what=what, target=target, found=found, reached=state)
