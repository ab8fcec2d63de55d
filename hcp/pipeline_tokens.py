"""Tell the HcP layers which tokens of a pipeline's prompts are human, call by call.

N prompts, K text tokens.
"""

import inspect
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from hcp.inject import Injection
from hcp.prompt_rows import Prompts, RecognisedRows, rows_beside
from hcp.tokens import human_token_mask

_ENCODERS = ("encode_prompt", "_encode_prompt")  # the second alone: InstructPix2Pix
_END = "maybe_free_model_hooks"


class PipelineTokens:
    """One adapter's part in one pipeline: told of its prompts, and of the end of each call.

    Both methods are shadowed on the pipeline object, never on its class, once for all adapters;
    when the last of them is removed, the shadows are deleted.
    """

    def __init__(self, pipeline: Any, injection: Injection, *, owner: object = None) -> None:
        """Listen to the pipeline until ``remove``; ``owner`` lives for as long.

        Raises:
            ValueError: the pipeline does not tell of its prompts.
        """
        self.injection = injection
        self._owner = owner
        self.rows = RecognisedRows()  # of this call, where the adapter was given a mask of its own
        self._watch = _watch_of(pipeline) or _Watch(pipeline)
        self._watch.listeners.append(self)

    @property
    def pipeline(self) -> Any:
        """The pipeline that is watched."""
        return self._watch.pipeline

    def remove(self) -> None:
        """Listen no more; the last one gives the pipeline its own methods back."""
        if self in self._watch.listeners:
            self._watch.listeners.remove(self)
            if not self._watch.listeners:
                self._watch.remove()


def can_watch(pipeline: Any) -> bool:
    """Whether the pipeline has what tells of its prompts and of the end of a call."""
    return _encoder(pipeline) is not None and callable(getattr(pipeline, _END, None))


class _Watch:
    """The shadows of one pipeline's methods."""

    def __init__(self, pipeline: Any) -> None:
        encoder = _encoder(pipeline)
        if encoder is None or not can_watch(pipeline):
            raise ValueError(
                f"{type(pipeline).__name__} has no encode_prompt() and {_END}(), which tell HcP of "
                "its prompts and of the end of a call: cannot attach HcP"
            )
        self.pipeline = pipeline
        self.listeners: list[PipelineTokens] = []
        self._before = {name: pipeline.__dict__.get(name) for name in (encoder, _END)}
        self._encode: Callable[..., Any] = getattr(pipeline, encoder)
        self._end: Callable[[], Any] = getattr(pipeline, _END)
        self._signature = inspect.signature(self._encode)
        self._rows = RecognisedRows()  # shared: one plan for all adapters
        setattr(pipeline, encoder, self._encode_prompt)
        setattr(pipeline, _END, self._end_call)

    def remove(self) -> None:
        """Give the pipeline its own methods back."""
        for name, before in self._before.items():
            if before is None:
                self.pipeline.__dict__.pop(name, None)
            else:
                setattr(self.pipeline, name, before)

    def _encode_prompt(self, *args: Any, **kwargs: Any) -> Any:
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        call = bound.arguments
        own: Tensor | None = None
        for listener in self.listeners:
            listener.injection.reinstall()
            if listener.injection.state.given is None and own is None:
                own = self._mask_of(call)
        with _clip_skip_works(self.pipeline, call.get("clip_skip")):
            encoded = self._encode(*args, **kwargs)
        known = encoded
        if isinstance(encoded, Tensor):  # prompts and negative ones in one, in whatever order
            call["do_classifier_free_guidance"] = False
            prompts = self._encode(*bound.args, **bound.kwargs)
            known = (prompts, rows_beside(encoded, prompts))
        self._announce(known, own, repeats=int(call.get("num_images_per_prompt") or 1))
        return encoded

    def _announce(self, encoded: Any, own: Tensor | None, *, repeats: int) -> None:
        embeds, negative = _embeddings(self.pipeline, encoded)
        shared: Prompts | None = None
        if own is not None:
            shared = _prompts(embeds, negative, own, repeats=repeats)
            self._rows.add(shared)
        for listener in self.listeners:
            state, rows, prompts = listener.injection.state, self._rows, shared
            if state.given is not None:
                rows = listener.rows
                prompts = _prompts(embeds, negative, state.given, repeats=repeats)
                rows.add(prompts)
            assert prompts is not None, "made for the adapters that were given no mask"
            state.announce(rows, prompts.token_mask)
            listener.injection.to(embeds.device)

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
        # A later call from elsewhere must not find this call's prompts.
        self._rows = RecognisedRows()
        for listener in self.listeners:
            listener.rows = RecognisedRows()
            listener.injection.state.clear()
        result = self._end()
        for listener in self.listeners:
            listener.injection.check()
        return result


def as_mask(token_mask: Tensor) -> Tensor:
    """A user's token mask as bool [N, K].

    Raises:
        ValueError: it is not two-dimensional.
    """
    if token_mask.ndim != 2:
        raise ValueError(f"token_mask must be [prompts, tokens], got {tuple(token_mask.shape)}")
    return token_mask.detach().to("cpu", torch.bool)


def _watch_of(pipeline: Any) -> _Watch | None:
    found = getattr(pipeline.__dict__.get(_encoder(pipeline)), "__self__", None)
    return found if isinstance(found, _Watch) else None


def _encoder(pipeline: Any) -> str | None:
    return next((name for name in _ENCODERS if callable(getattr(pipeline, name, None))), None)


def _embeddings(pipeline: Any, encoded: Any) -> tuple[Tensor, Tensor | None]:
    # Of the prompts and of the negative ones, [N, K, C], as diffusers' pipelines return them.
    embeds, negative, *_ = (*encoded, None) if isinstance(encoded, tuple) else (None, None)
    if not isinstance(embeds, Tensor) or embeds.ndim != 3:
        raise ValueError(
            f"{type(pipeline).__name__}.encode_prompt() returned no text embeddings [prompts, "
            "tokens, width] first, as diffusers' Stable Diffusion pipelines do: cannot tell which "
            "rows HcP is for; adapter.detach() draws without it"
        )
    return embeds, negative if isinstance(negative, Tensor) else None


def _prompts(embeds: Tensor, negative: Tensor | None, mask: Tensor, *, repeats: int) -> Prompts:
    mask = mask.repeat_interleave(repeats, dim=0)
    if mask.shape != embeds.shape[:2]:
        rows, tokens = embeds.shape[:2]
        raise ValueError(
            f"HcP: the token mask is for {len(mask) // repeats} prompts of {mask.shape[1]} tokens, "
            f"but the text embeddings are of {rows // repeats} prompts of {tokens} tokens: give a "
            "mask [prompts, tokens] like them to `with adapter.token_mask(mask):`"
        )
    return Prompts(embeds=embeds, negative=negative, token_mask=mask)


@contextmanager
def _clip_skip_works(pipeline: Any, clip_skip: int | None) -> Generator[None]:
    # diffusers (0.35 to 0.42 at least) asks for text_encoder.text_model.final_layer_norm, which
    # CLIPTextModel of transformers 5 holds itself.
    encoder = getattr(pipeline, "text_encoder", None)
    renamed = hasattr(encoder, "final_layer_norm") and not hasattr(encoder, "text_model")
    if clip_skip is None or not renamed:
        yield
        return
    encoder.__dict__["text_model"] = encoder  # not a submodule: it would contain itself
    try:
        yield
    finally:
        del encoder.__dict__["text_model"]
