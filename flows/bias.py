"""Who is drawn: the settings and models of an evaluation's bias measure."""

from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files
from typing import TYPE_CHECKING

from flows.names import EMBEDDED, model_path
from flows.params import EvaluateParams
from storage.errors import HcpError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hcp.evaluation.bias_measure import BiasTools, PeopleDetector, PeopleMasker
    from hcp.evaluation.results import EvaluationConfig
    from hcp.evaluation.similarity import TextScorer
    from storage.records import Person


def bias_prompts_file(name: str) -> str:
    """The embedded world's neutral prompts for 'embedded', any other name unchanged."""
    return str(files("demo").joinpath("neutral_prompts.txt")) if name == EMBEDDED else name


def with_bias_prompts(
    config: "EvaluationConfig", path: str, prompts: tuple[str, ...]
) -> "EvaluationConfig":
    """The evaluation's settings with the neutral prompts of a file.

    Raises:
        HcpError: they draw nobody, or are given twice; names the file.
    """
    try:
        return replace(config, bias=replace(config.bias, prompts=prompts))
    except ValueError as error:
        raise HcpError(f"prompts {path}: {error}") from error


def bias_tools(
    params: EvaluateParams, detector: "PeopleDetector", scorer: "TextScorer | None"
) -> "BiasTools":
    """What looks at the people; a mask model that cannot be had leaves its trait out."""
    from hcp.evaluation.bias_measure import BiasTools

    if params.mask_model is None or not params.evaluation.bias.enabled:
        return BiasTools(detector=detector, scorer=scorer)
    try:
        masker = _masker(params, params.mask_model)
    except HcpError as error:
        return BiasTools(detector=detector, scorer=scorer, why_no_masks=str(error))
    return BiasTools(detector=detector, scorer=scorer, masker=masker)


def _masker(params: EvaluateParams, name: str) -> "PeopleMasker":
    from priors.models import load_masks

    config = replace(params.judge, weights=model_path(name, "masks"))
    model = load_masks(config, device=params.device)

    def masks(
        images: "Sequence[NDArray[np.uint8]]", people: "Sequence[Sequence[Person]]"
    ) -> "list[NDArray[np.bool_]]":
        return [found.masks for found in model(images, people)]

    return masks
