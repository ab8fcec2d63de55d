"""The base's own cross-attention maps of the human tokens, with their gradient.

B batch, Q latent pixels, K text tokens, J selected tokens.
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn

from hcp.attention import map_columns, normed, split_heads
from hcp.config import Stage
from hcp.inject import LayerMap, layer_maps
from hcp.row_plan import TokenSelection
from hcp.sites import Site, attention_at
from hcp.token_state import TokenState


class BaseMaps:
    """Watches what a U-Net's cross-attentions project; the attentions themselves stay as they are.

    Maps are computed explicitly, but in the recorded sites alone, and of them the human columns.
    """

    def __init__(self, unet: nn.Module, sites: Sequence[Site]) -> None:
        self._unet = unet
        self._sites = tuple(sites)
        self._state = TokenState()
        self._queries: dict[str, Tensor] = {}

    @contextmanager
    def tokens(
        self, token_mask: Tensor, *, kinds: Tensor, record: Sequence[Stage]
    ) -> Generator[None]:
        """Record the human columns of the U-Net calls inside, in the sites of some stages.

        With gradient checkpointing the backward pass, which runs the layers again, belongs inside.

        Args:
            token_mask: [B, K], bool.
            kinds: [B, K], int64 as in ``hcp.targets.KINDS``.
            record: the stages.
        """
        self._state.set(token_mask, kinds=kinds)
        handles: list[Any] = []
        for site in self._sites:
            if site.stage in record:
                attn = attention_at(self._unet, site)
                handles.append(attn.to_q.register_forward_hook(partial(self._keep, site)))
                handles.append(attn.to_k.register_forward_hook(partial(self._record, site)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
            self._queries.clear()
            self._state.clear()

    def maps(self, latent_size: tuple[int, int]) -> list[LayerMap]:
        """Human columns of M, as ``Injection.maps`` gives those of M_h."""
        return layer_maps(self._sites, self._state.maps, latent_size)

    def selection(self) -> TokenSelection:
        """The human tokens that the maps' last axis stands for."""
        assert self._state.selection is not None, "inside `with base_maps.tokens(...)` only"
        return self._state.selection

    def _keep(self, site: Site, _to_q: nn.Module, _args: object, query: Tensor) -> None:
        self._queries[site.name] = query

    def _record(self, site: Site, _to_k: nn.Module, args: tuple[Tensor, ...], key: Tensor) -> None:
        query, plan = self._queries.pop(site.name), self._state.plan(args[0])
        if plan is None:
            return
        attn = attention_at(self._unet, site)
        queries = normed(attn.norm_q, split_heads(plan.take(query), attn.heads))
        keys = normed(attn.norm_k, split_heads(plan.take(key), attn.heads))
        columns = map_columns(queries, keys, plan.columns)
        self._state.maps[site.name] = plan.spread(columns)
