"""Does the base take what an evaluation would draw? Looked at before the first picture."""

from collections.abc import Sequence

from hcp.base import BasePipeline
from hcp.tokens import human_spans, human_token_mask
from storage.errors import HcpError

_SHOWN = 60  # characters of a prompt in a message


def check_inputs(
    pipeline: BasePipeline, prompts: Sequence[str], *, steps: int, name: str = "evaluation.prompts"
) -> tuple[str, ...]:
    """See that the base can draw these prompts in so many steps; ``name``: of their setting.

    Returns:
        What a reader of the report should know: prompts whose end the base does not read.
    Raises:
        HcpError: more steps than the noise schedule has, or a prompt whose human words all lie
            behind what the text encoder reads.
    """
    schedule = int(pipeline.scheduler.config.num_train_timesteps)
    if steps > schedule:
        raise HcpError(
            f"evaluation.steps: got {steps}, the base's noise schedule has {schedule}; take fewer"
        )
    tokenizer, length = pipeline.tokenizer, int(pipeline.tokenizer.model_max_length)
    whole = tokenizer(list(prompts), truncation=False, verbose=False)["input_ids"]
    counts = [len(ids) for ids in whole]
    cut = [prompt for prompt, n in zip(prompts, counts, strict=True) if n > length]
    for prompt in cut:
        if human_spans(prompt) and not human_token_mask(tokenizer, [prompt]).any():
            raise HcpError(
                f"{name}: {prompt[:_SHOWN]!r}... has its human words behind the "
                f"{length} tokens that the base's text encoder reads: nobody would be drawn, and "
                "nothing compared; put them first or shorten it"
            )
    if not cut:
        return ()
    return (
        f"{len(cut)} of {len(prompts)} prompts are longer than the {length} tokens that the base's "
        f"text encoder reads, and are cut, the first: {cut[0][:_SHOWN]!r}...",
    )
