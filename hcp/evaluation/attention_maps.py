"""Where human words look: the maps of a U-Net's cross-attentions, recorded from outside.

Works on the base alone (its frozen map M) and with HcP layers injected (M, M_h and the fused M^).
For evaluation and reports only: it holds whole maps, which training never does.

Dimension legend: B batch rows, H heads, Q map pixels, K text tokens, J selected tokens, d head
width, h w the largest map's height and width.
"""

from collections.abc import Collection, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from hcp.adapter import HcpAdapter
from hcp.attention import map_columns, split_heads
from hcp.config import Stage
from hcp.sites import Site, attention_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A human word of one prompt: its text and where its tokens stand among the J selected ones."""

    text: str
    kind: int  # 1 person, 2 action, 3 body
    tokens: tuple[int, ...]


Which = Literal["base", "fused", "human"]
"""M, M^ or M_h."""


@dataclass(slots=True)
class MapRecorder:
    """Sums of attention distributions over layers and U-Net calls, [B, J, h, w] each.

    Every layer's column is scaled to sum 1 over the pixels, so that layers of all sizes count
    alike; sums over words or masks are then shares of attention.
    """

    unet: nn.Module
    sites: Sequence[Site]
    columns: Tensor  # [B, J] int64
    adapter: HcpAdapter | None = None
    base: list[Tensor] = field(default_factory=list[Tensor])  # M, one entry per layer and call
    fused: list[Tensor] = field(default_factory=list[Tensor])  # M^ = M + gamma g M_h
    human: list[Tensor] = field(default_factory=list[Tensor])  # M_h
    calls: list[tuple[Stage, int]] = field(default_factory=list[tuple[Stage, int]])
    """Stage and timestep of each entry above."""
    _queries: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    _latent_size: tuple[int, int] = (0, 0)
    _timestep: int = 0

    @contextmanager
    def recording(self) -> Generator["MapRecorder"]:
        """Record every U-Net call inside; the last B rows of a batch are the prompts."""
        unet: Any = self.unet
        handles = [unet.register_forward_pre_hook(self._on_unet, with_kwargs=True)]
        for site in self.sites:
            attn = attention_at(self.unet, site)
            handles.append(attn.to_q.register_forward_hook(partial(self._keep_query, site)))
            handles.append(attn.to_k.register_forward_hook(partial(self._record, site)))
        try:
            yield self
        finally:
            for handle in handles:
                handle.remove()

    def mean(
        self,
        which: Which = "base",
        *,
        stage: Stage | None = None,
        timesteps: Collection[int] | None = None,
    ) -> Tensor:
        """Mean distribution over layers and calls, [B, J, h, w], float32; sums to 1 over h w.

        Of the layers of one stage, of the calls at some timesteps, where these are given. A learned
        gate may be negative: where it makes a fused map negative, the map counts as 0.

        Raises:
            ValueError: nothing of that was recorded.
        """
        every: list[Tensor] = {"base": self.base, "fused": self.fused, "human": self.human}[which]
        maps = [
            one
            for one, (its_stage, t) in zip(every, self.calls, strict=False)
            if stage in (None, its_stage) and (timesteps is None or t in timesteps)
        ]
        if not maps:
            raise ValueError(f"no {which} maps were recorded ({stage or 'any'} stage)")
        size = max((tuple(m.shape[-2:]) for m in maps), key=lambda s: s[0] * s[1])
        total = torch.zeros(*maps[0].shape[:2], *size)
        for m in maps:
            resized = interpolate(m.clamp_min(0), size=size, mode="bilinear", align_corners=False)
            total += resized / resized.sum(dim=(2, 3), keepdim=True).clamp_min(1e-12)
        return total / len(maps)

    def _on_unet(self, _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = dict(zip(("sample", "timestep"), args, strict=False)) | kwargs
        self._latent_size = (int(given["sample"].shape[-2]), int(given["sample"].shape[-1]))
        self._timestep = int(torch.as_tensor(given["timestep"]).flatten()[0])

    def _keep_query(self, site: Site, _to_q: nn.Module, _text: object, query: Tensor) -> None:
        self._queries[site.name] = query

    @torch.no_grad()
    def _record(self, site: Site, _to_k: nn.Module, args: tuple[Tensor, ...], key: Tensor) -> None:
        text = args[0]
        rows, heads = len(self.columns), int(attention_at(self.unet, site).heads)
        query = split_heads(self._queries.pop(site.name)[-rows:], heads).float()
        size = site.map_size(self._latent_size)

        def maps(keys: Tensor) -> Tensor:  # head mean at the selected tokens, [B, J, h, w]
            of_heads = split_heads(keys, heads).float()
            columns = map_columns(query, of_heads, self.columns.to(query.device))
            return columns.mT.cpu().unflatten(2, size)

        frozen = maps(key[-rows:])
        self.calls.append((site.stage, self._timestep))
        self.base.append(frozen)
        if self.adapter is None:
            return
        layer: Any = self.adapter.hcp[site.name.replace(".", "-")]
        dtype = next(layer.parameters()).dtype
        human = maps(layer(text[-rows:].to(dtype), key[-rows:]))
        weight = layer.strength(self.adapter.config.gamma) * self.adapter.strength
        strength = torch.as_tensor(weight).float().cpu()
        self.human.append(human)
        self.fused.append(frozen + strength * human)


def select_words(
    tokenizer: Any, input_ids: Tensor, token_kinds: Tensor
) -> tuple[Tensor, list[list[Word]]]:
    """The human tokens of each row, packed left, and the words that they make up.

    Args:
        tokenizer: of the pipeline; its sub-words end a word with ``</w>``, as CLIP's do.
        input_ids: [B, K].
        token_kinds: [B, K], 0 at tokens that are not human.
    Returns:
        columns [B, J] (0 where a row has fewer), and per row its words.
    """
    rows = [row.nonzero().flatten().tolist() for row in token_kinds]
    width = max([1, *(len(row) for row in rows)])
    columns = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    words: list[list[Word]] = []
    for row, ids, kinds in zip(rows, input_ids, token_kinds, strict=True):
        found: list[Word] = []
        text, places = "", []
        pieces: list[str] = tokenizer.convert_ids_to_tokens([int(ids[k]) for k in row])
        for place, (column, piece) in enumerate(zip(row, pieces, strict=True)):
            text, places = text + piece.removesuffix("</w>"), [*places, place]
            last = place + 1 == len(row) or row[place + 1] != column + 1
            if piece.endswith("</w>") or last:
                found.append(Word(text=text, kind=int(kinds[column]), tokens=tuple(places)))
                text, places = "", []
        words.append(found)
    return columns, words


def word_map(maps: Tensor, word: Word) -> Tensor:
    """The mean map of a word's tokens, [h, w], from one row's maps [J, h, w]."""
    return maps[list(word.tokens)].mean(dim=0)
