"""The settings as a tree, of parameters and of the configs that they hold."""

from dataclasses import dataclass, field

import pytest
from pydantic import BaseModel

from flows.tree import branches, check_names, element, leaves, nested


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    size_px: int = 1
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    one: Leaf = field(default_factory=Leaf)
    maybe: Leaf | None = None
    several: tuple[Leaf, ...] = ()


class Params(BaseModel):
    root: str
    branch: Branch = field(default_factory=Branch)


def test_every_setting_has_a_path() -> None:
    assert [".".join(path) for path, _ in leaves(Params)] == [
        "root", "branch.one.size_px", "branch.one.name", "branch.maybe.size_px",
        "branch.maybe.name", "branch.several",
    ]  # fmt: skip


def test_a_field_holds_a_config_several_or_none() -> None:
    fields = branches(Branch)
    assert [nested(fields[name]) for name in ("one", "maybe", "several")] == [Leaf, Leaf, None]
    assert [element(fields[name]) for name in ("one", "several")] == [None, Leaf]
    assert nested(branches(Params)["root"]) is None


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"rot": "x"}, "rot: there is no such setting; did you mean root?"),
        ({"size_px": 1}, "size_px: .*did you mean branch.*size_px"),
        ({"branch": {"one": {"size": 1}}}, "branch.one.size: .*branch.one.size_px"),
        ({"branch": {"several": [{}, {"nmae": 1}]}}, "branch.several.nmae: .*branch.several.name"),
        ({"zzz": 1}, "zzz: .*there are: root, branch"),
    ],
)
def test_an_unknown_name_is_told_with_its_neighbour(data: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_names(Params, data)


def test_known_names_pass_whatever_their_values() -> None:
    check_names(Params, {"root": 3, "branch": {"one": {"name": None}, "maybe": None}})
