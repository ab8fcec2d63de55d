"""The variants of an ablation, by the question that each helps to answer."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import ValidationError

from flows.params import TrainParams
from flows.tree import check_names
from hcp.training.config import TrainConfig
from storage.canonical import digest_of, plain_json
from storage.errors import HcpError

DEFAULT = "default"
Changes = Mapping[str, Any]
"""Dotted path below ``training`` -> its value: ``{"hcp.width": 64}``, or ``Times`` of it."""


@dataclass(frozen=True, slots=True)
class Times:
    """A multiple of the parameters' own value."""

    factor: float

    def __str__(self) -> str:
        """As a table says it."""
        return f"{self.factor:g} times the default's"


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}")
_WATCHING = ("samples", "tensorboard")  # change nothing that is trained
_STAGES, _PRIORS = "hcp.alignment.stages", "hcp.alignment.priors"


def _pulled_to(*priors: str) -> Changes:
    return {f"{_PRIORS}.{kind}": list(priors) for kind in ("person", "action", "body")}


def _scheduled(mid: str, up: str) -> Changes:
    return {f"{_STAGES}.mid": mid, f"{_STAGES}.up": up}


def _layers_at(*stages: str) -> Changes:
    # Layers of a stage without a loss would learn nothing about people.
    own: Changes = {"hcp.stages": list(stages)}
    return own | ({f"{_STAGES}.down": "constant"} if "down" in stages else {})


VARIANTS: Mapping[str, Changes] = {
    DEFAULT: {},
    "no-alignment": {"hcp.alignment.alpha": 0.0},
    "alpha-low": {"hcp.alignment.alpha": Times(0.2)},
    "alpha-high": {"hcp.alignment.alpha": Times(5.0)},
    "scale-only": _scheduled("constant", "constant"),
    "early": _scheduled("early", "early"),
    "late": _scheduled("late", "late"),
    "scale-and-step": _scheduled("early", "late"),  # the paper's
    "step-swapped": _scheduled("late", "early"),
    "loss-mid": {f"{_STAGES}.up": "off", f"{_STAGES}.down": "off"},
    "loss-up": {f"{_STAGES}.mid": "off", f"{_STAGES}.down": "off"},
    "down-only": _layers_at("down"),
    "mid-only": _layers_at("mid"),
    "up-only": _layers_at("up"),
    "all-stages": _layers_at("down", "mid", "up"),
    "fine-maps": {"hcp.map_scales": [1, 2]},
    "coarse-maps": {"hcp.map_scales": [4, 8]},
    "pairing": {
        f"{_PRIORS}.person": ["heatmap", "mask"],
        f"{_PRIORS}.action": ["heatmap"],
        f"{_PRIORS}.body": ["heatmap"],
    },
    "pose-only": _pulled_to("heatmap"),
    "mask-only": _pulled_to("mask"),
    "resnet50-only": _pulled_to("resnet50"),
    "cosine": {"hcp.alignment.distance": "cosine"},
    "centred-cosine": {"hcp.alignment.distance": "centred_cosine"},
    "gate-fixed": {"hcp.gate": "fixed"},
    "gate-zero": {"hcp.gate": "zero"},
    "flat-start": {"hcp.start": "flat"},
    "residual-start": {"hcp.start": "residual"},
    # Values of the base, changed or not, have their size from the start; those of ones own begin at
    # nothing and may be strong.
    "frozen-value": {"hcp.value": "frozen", "hcp.gamma": 1.0},
    "learned-value": {"hcp.value": "learned", "hcp.gamma": 1.0},
    "residual-and-value": {"hcp.start": "residual", "hcp.value": "learned", "hcp.gamma": 1.0},
    "own-value": {"hcp.start": "residual", "hcp.value": "own", "hcp.gamma": 10.0},
    "pixel-value": {"hcp.start": "residual", "hcp.value": "pixel", "hcp.gamma": 10.0},
    "gamma-half": {"hcp.gamma": Times(0.5)},
    "gamma-double": {"hcp.gamma": Times(2.0)},
    "width-64": {"hcp.width": 64},
    "width-256": {"hcp.width": 256},
    "width-1024": {"hcp.width": 1024},
    "lora": {"method": "lora"},
    "attention": {"method": "attention"},
    "region": {"method": "region"},
    "full": {"method": "full"},
}
"""One idea each, or two by name, as a change of the parameters' own ``training``.

What says the same as the parameters do is not trained again: it is the default.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a table of an ablation answers."""

    title: str
    variants: tuple[str, ...]


OWN = "own"
QUESTIONS: Mapping[str, Question] = {
    "loss": Question(
        title="Does the layer's loss help, and how much of it?",
        variants=("no-alignment", "alpha-low", "alpha-high"),
    ),
    "schedule": Question(
        title="Scale-aware only (scale-only: constant over the steps), step-wise only (early, "
        "late: the same for both stages), or both?",
        variants=("scale-only", "scale-and-step", "early", "late", "step-swapped"),
    ),
    "aligned-stage": Question(
        title="Which stage's loss does the work?", variants=("loss-mid", "loss-up")
    ),
    "layers": Question(
        title="Which cross-attentions need a layer?",
        variants=("down-only", "mid-only", "up-only", "all-stages", "fine-maps", "coarse-maps"),
    ),
    "target": Question(
        title="What should the attention of a human word be pulled to?",
        variants=("pairing", "pose-only", "mask-only", "resnet50-only"),
    ),
    "distance": Question(
        title="Plain or centred cosine?", variants=("cosine", "centred-cosine")
    ),
    "gate": Question(title="A fixed or a learned gate?", variants=("gate-fixed", "gate-zero")),
    "gamma": Question(
        title="How strong should the human term be?", variants=("gamma-half", "gamma-double")
    ),
    "start-and-value": Question(
        title="Where should the layer begin, and may human words say something else?",
        variants=("flat-start", "residual-start", "frozen-value", "learned-value",
                  "residual-and-value", "own-value", "pixel-value"),
    ),
    "width": Question(
        title="How wide must the layer be?", variants=("width-64", "width-256", "width-1024")
    ),
    "method": Question(
        title="Is it the layer, or would another method do?",
        variants=("lora", "attention", "region", "full"),
    ),
}  # fmt: skip
"""Every built-in variant but the default is in one of them."""


def chosen(
    variants: Sequence[str], questions: Sequence[str], own: Mapping[str, Changes]
) -> dict[str, Changes]:
    """What an ablation runs, by name, the default first.

    Args:
        variants: names; of own ones too.
        questions: names; all their variants are taken.
        own: changes of ``training`` by a name of the user's. They are always taken, and alone where
            neither variants nor questions are named. Where nothing is named, all built-in ones are.
    Raises:
        HcpError: an unknown variant, question or setting is named, or a name cannot be a folder's.
    """
    _refuse_unknown("variants", variants, {**VARIANTS, **own})
    _refuse_unknown("questions", questions, QUESTIONS)
    for name in own:
        if not _NAME.fullmatch(name) or name in VARIANTS:
            raise HcpError(
                f"own variant {name!r}: expected a name of letters, digits and _.+- that no "
                f"built-in variant has; those are: {', '.join(VARIANTS)}"
            )
    asked = [name for question in questions for name in QUESTIONS[question].variants]
    names = dict.fromkeys([DEFAULT, *variants, *asked, *own])
    if not (variants or questions or own):
        names = dict.fromkeys(VARIANTS)
    return {name: own[name] if name in own else VARIANTS[name] for name in names}


def _refuse_unknown(what: str, given: Sequence[str], known: Mapping[str, object]) -> None:
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise HcpError(f"unknown {what} {unknown}; there are: {', '.join(known)}")


def asked_questions(names: Sequence[str]) -> dict[str, Question]:
    """The questions that some of these variants answer, each with those alone."""
    found = {
        key: Question(title=question.title, variants=own)
        for key, question in QUESTIONS.items()
        if (own := tuple(name for name in question.variants if name in names))
    }
    mine = tuple(name for name in names if name not in VARIANTS)
    if mine:
        found[OWN] = Question(title=title_of(OWN), variants=mine)
    return found


def title_of(question: str) -> str:
    """What a question asks, by its name; of the user's own variants too."""
    return "What do your own variants change?" if question == OWN else QUESTIONS[question].title


def variant_params(params: TrainParams, name: str, changes: Changes) -> TrainParams:
    """The parameters of a variant's training.

    Raises:
        HcpError: a path is no setting below ``training``, or a value is none of it.
    """
    # Plain: a suffix of the method, as in hcp+value, would win over what the variant says.
    training = asdict(params.training.plain())
    try:
        for path, value in changes.items():
            _set(training, path.removeprefix("training."), value)
        settings = dict(params) | {"training": training}
        return TrainParams.model_validate(settings)
    except ValidationError as error:
        said = "; ".join(map(_sentence, error.errors()))
        raise HcpError(f"variant {name!r}: {said}") from error
    except ValueError as error:
        raise HcpError(f"variant {name!r}: {error}") from error


def _set(training: dict[str, Any], path: str, value: Any) -> None:
    *above, last = path.split(".")
    nested: dict[str, Any] = {last: value}
    for name in reversed(above):
        nested = {name: nested}
    check_names(TrainConfig, nested, ("training",))
    place: Any = training
    for name in above:
        place = place[name]
        if not isinstance(place, dict):
            raise ValueError(f"training.{path}: {name} holds no further settings")
    if isinstance(value, Mapping):
        for name, inner in value.items():
            _set(training, f"{path}.{name}", inner)
    else:
        place[last] = place[last] * value.factor if isinstance(value, Times) else value


def _sentence(error: Mapping[str, Any]) -> str:
    where = ".".join(map(str, error["loc"]))
    return f"{where}: {str(error['msg']).removeprefix('Value error, ')}, got {error['input']!r:.80}"


def seeded(params: TrainParams, seed: int) -> TrainParams:
    """The training with another seed: of its order and noise and of all new weights."""
    training: Any = asdict(params.training)
    training["seed"] = training["hcp"]["init_seed"] = training["lora"]["init_seed"] = seed
    return TrainParams.model_validate(dict(params) | {"training": training})


def settings_digest(training: TrainConfig) -> str:
    """Of all that changes what is trained."""
    settings = {k: v for k, v in asdict(training.plain()).items() if k not in _WATCHING}
    return digest_of(plain_json(settings))


def same_as_default(trainings: Mapping[str, TrainParams]) -> Iterator[str]:
    """Names of the variants that say what the parameters say already."""
    default = settings_digest(trainings[DEFAULT].training)
    for name, params in trainings.items():
        if name != DEFAULT and settings_digest(params.training) == default:
            yield name
