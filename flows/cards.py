"""The model card beside an adapter: written when it is exported, completed when it is evaluated.

It is outside the adapter's digest (no marker lists it), so an adapter with figures is the same one.
"""

import json
import logging
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

from flows.names import split_dataset
from flows.outcomes import TrainOutcome
from flows.params import TrainParams
from storage.checkpoints import COMPLETE_NAME, listed_files, marker_of, read_listed
from storage.hub import README, is_cached, is_hub_id, push_files
from storage.locations import exists, is_local, join, read_bytes, write_atomic
from storage.registry import checkpoint_place

if TYPE_CHECKING:
    from hcp.training.methods.trained import TrainedCard

logger = logging.getLogger(__name__)


def write_card(params: TrainParams, outcome: TrainOutcome) -> None:
    """Put the card beside a training's adapter, unless one lies there: it may have figures.

    A card that cannot be written ends no training.
    """
    from hcp.pages.model_card import CardFacts, model_card

    place = join(outcome.adapter, README)
    if exists(place):
        return
    facts = CardFacts(
        base=params.base,
        method=params.training.method,
        dataset_version=split_dataset(outcome.dataset)[1],
        step=_step(outcome.adapter),  # of the best checkpoint, where validation chose it
        license=params.license,
        losses={name: (value, outcome.last[name]) for name, value in outcome.first.items()},
        settings=asdict(params.training),
    )
    with _harmless(place):
        write_atomic(place, model_card(facts).encode())


def add_evaluation(
    place: str, rows: Sequence[Mapping[str, object]], *, verdict: str, judge: str
) -> None:
    """Put an evaluation's figures into the card beside an adapter, where one lies.

    A card in the hub's cache is left as it is, and one that cannot be written ends no evaluation.
    """
    from hcp.pages.model_card import with_evaluation

    card = join(place, README)
    if is_cached(place) or not exists(card):
        return
    with _harmless(card):
        text = read_bytes(card).decode(errors="replace")
        write_atomic(card, with_evaluation(text, rows, verdict=verdict, judge=judge).encode())


def push_adapter(
    checkpoint: str,
    repo: str,
    *,
    private: bool = False,
    revision: str | None = None,
    registry: str | None = None,
) -> str:
    """Put a checkpoint's files for use on the hub, with its card; the trainer's state stays here.

    Args:
        checkpoint: folder, pointer, registry URI or another hub id.
        repo: ``owner/name``; made where there is none.
        registry: MLflow URI, for a registry URI.
    Returns:
        ``owner/name@commit``, which any command takes as a checkpoint.
    Raises:
        HcpError: the checkpoint does not load, or the hub refuses; nothing was written then.
    """
    from hcp.pages.model_card import named
    from hcp.training.methods import load_trained
    from hcp.training.run_folder import files_for_use

    place = checkpoint_place(checkpoint, registry)
    card = load_trained(place).card
    base = card.base_model or ""
    if "/" in base and is_local(base) and not is_hub_id(base):
        logger.warning("what is pushed names its base by a path of this machine: %s", base)
    digests = listed_files(place)
    listed = {name: digests[name] for name in files_for_use(place)}
    own = join(place, README)
    text = read_bytes(own).decode(errors="replace") if exists(own) else _card(card)
    files = read_listed(place, listed) | {
        COMPLETE_NAME: marker_of(listed),
        README: named(text, repo).encode(),
    }
    return f"{repo}@{push_files(files, repo, private=private, revision=revision)}"


def _step(adapter: str) -> int:
    from hcp.checkpoint import CARD, METHOD_CARD

    name = METHOD_CARD if METHOD_CARD in listed_files(adapter) else CARD
    return int(json.loads(read_listed(adapter, (name,))[name])["step"])


@contextmanager
def _harmless(card: str) -> Generator[None]:
    try:
        yield
    except OSError as error:
        logger.warning("the model card %s could not be written: %s", card, error)


def _card(card: "TrainedCard") -> str:
    """A card of what an adapter itself knows, for one that was exported without."""
    from hcp.pages.model_card import CardFacts, model_card

    facts = CardFacts(
        base=card.base_model,
        method=card.method,
        dataset_version=card.dataset_version,
        step=card.step,
        settings=card.settings,
    )
    return model_card(facts)
