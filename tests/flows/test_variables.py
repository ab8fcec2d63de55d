"""Prefect variables in parameters, without a server."""

import pytest

from flows.variables import filled, server_value

VALUES = {"hcp_root": "/data/hcp", "hcp_seed": 7, "hcp_gate": {"min_people": 1}, "hcp_none": ""}


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("variable:hcp_root", "/data/hcp"),
        ("variable:hcp_root@0123456789abcdef", "/data/hcp@0123456789abcdef"),
        ("variable:hcp_root/below", "/data/hcp/below"),
        ("variable:hcp_seed", 7),
        ("variable:hcp_gate", {"min_people": 1}),
        ("{{ prefect.variables.hcp_root }}", "/data/hcp"),
        ("{{prefect.variables.hcp_root}}/x", "/data/hcp/x"),
        ({"__prefect_kind": "workspace_variable", "variable_name": "hcp_root"}, "/data/hcp"),
        ("a variable: nothing else", "a variable: nothing else"),
        ("variables:hcp_root", "variables:hcp_root"),
        ({"a": ["variable:hcp_seed", 3, None]}, {"a": [7, 3, None]}),
        (("variable:hcp_seed",), (7,)),
    ],
)
def test_values_take_the_place_of_their_names(given: object, meant: object) -> None:
    assert filled(given, VALUES.get) == meant


@pytest.mark.parametrize("name", ["hcp_missing", "hcp_none"])
def test_one_that_has_no_value_is_an_error_that_says_how_to_set_it(name: str) -> None:
    with pytest.raises(ValueError, match=f"variable {name} is .*prefect variable set {name}"):
        filled({"root": f"variable:{name}"}, VALUES.get)


def test_without_a_server_there_are_no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with (
        temporary_settings(restore_defaults={PREFECT_API_URL}),
        pytest.raises(ValueError, match="PREFECT_API_URL names none"),
    ):
        server_value("hcp_root")
