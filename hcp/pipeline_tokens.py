"""Tell the HcP layers which tokens of a pipeline's prompts are human, call by call.

N prompts, K text tokens.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from hcp.inject import Injection
from hcp.tokens import human_token_mask

_HOOKED = ("encode_prompt", "maybe_free_model_hooks")


class PipelineTokens:
    """Watches one pipeline object: prompts as they are encoded, and the end of each call.

    Both methods are shadowed on the object, never on its class, and ``remove`` deletes the shadows.
    """

    def __init__(self, pipeline: Any, injection: Injection) -> None:
        for name in _HOOKED:
            if not callable(getattr(pipeline, name, None)):
                raise ValueError(f"{type(pipeline).__name__} has no {name}(): cannot attach HcP")
        self.pipeline = pipeline
        self._injection = injection
        self._before = {name: pipeline.__dict__.get(name) for name in _HOOKED}
        self._originals: dict[str, Callable[..., Any]] = {
            name: getattr(pipeline, name) for name in _HOOKED
        }
        self._signature = inspect.signature(self._originals["encode_prompt"])
        self.explicit: Tensor | None = None  # a mask that the user gave for the next calls
        pipeline.encode_prompt = self._encode_prompt
        pipeline.maybe_free_model_hooks = self._end_call

    def remove(self) -> None:
        """Give the pipeline its own methods back."""
        for name, before in self._before.items():
            if before is None:
                self.pipeline.__dict__.pop(name, None)
            else:
                setattr(self.pipeline, name, before)

    def _encode_prompt(self, *args: Any, **kwargs: Any) -> Any:
        self._injection.reinstall()
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        call = bound.arguments
        mask = self.explicit if self.explicit is not None else self._mask_of(call)
        repeats = int(call.get("num_images_per_prompt") or 1)
        self._injection.state.set(
            mask.repeat_interleave(repeats, dim=0),
            guided=bool(call.get("do_classifier_free_guidance")),
        )
        return self._originals["encode_prompt"](*args, **kwargs)

    def _mask_of(self, call: dict[str, Any]) -> Tensor:
        prompt: str | Sequence[str] | None = call.get("prompt")
        if prompt is None or call.get("prompt_embeds") is not None:
            raise ValueError(
                "HcP cannot tell which tokens of ready-made prompt_embeds are human: wrap the "
                "call in `with adapter.token_mask(mask):`, mask bool [prompts, tokens], for "
                "example hcp.tokens.human_token_mask(pipeline.tokenizer, prompts)"
            )
        mask = self._mask_by("tokenizer", prompt)
        if mask is None:  # SDXL's refiner has the second text encoder alone
            mask = self._mask_by("tokenizer_2", prompt)
        other: str | Sequence[str] | None = call.get("prompt_2")
        if other is not None:  # its embedding lies beside the first one's, token by token
            second = self._mask_by("tokenizer_2", other)
            mask = second if mask is None else mask if second is None else mask | second
        if mask is None:
            raise ValueError(f"{type(self.pipeline).__name__} has no tokenizer: cannot tell "
                             "which tokens are human")  # fmt: skip
        return mask

    def _mask_by(self, name: str, prompt: str | Sequence[str]) -> Tensor | None:
        tokenizer = getattr(self.pipeline, name, None)
        if tokenizer is None:
            return None
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        if hasattr(self.pipeline, "maybe_convert_prompt"):  # textual inversion adds tokens
            prompts = self.pipeline.maybe_convert_prompt(prompts, tokenizer)
        return human_token_mask(tokenizer, prompts)

    def _end_call(self) -> Any:
        # A later call from elsewhere must not find this call's mask.
        self._injection.state.clear()
        return self._originals["maybe_free_model_hooks"]()


def as_mask(token_mask: Tensor) -> Tensor:
    """A user's token mask as bool [N, K].

    Raises:
        ValueError: it is not two-dimensional.
    """
    if token_mask.ndim != 2:
        raise ValueError(f"token_mask must be [prompts, tokens], got {tuple(token_mask.shape)}")
    return token_mask.detach().to(torch.bool)
