"""Settings of a stack: remembered in its folder, with ports that can be had."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.stack.config import (
    Ports,
    StackConfig,
    StackError,
    option,
    remember,
    remembered,
    stack_folder,
    with_ports,
)
from flows.stack.ports import any_free


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen(1)
        yield int(other.getsockname()[1])


def test_what_was_settled_is_remembered_for_this_user_alone(tmp_path: Path) -> None:
    config = StackConfig(
        folder=tmp_path / "a [b] é",
        ports=Ports(prefect=4301),
        given=("prefect",),
        pool="night",
        database="postgresql+asyncpg://me:secret@db/prefect",
    )
    assert remembered(config.folder) is None
    remember(config)
    assert remembered(config.folder) == config
    assert (config.folder / "stack.json").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("text", ["", "[]", "{", '{"ports": {"other": 1}, "given": []}'])
def test_a_broken_file_says_what_to_do(tmp_path: Path, text: str) -> None:
    (tmp_path / "stack.json").write_text(text)
    with pytest.raises(StackError, match=r"stack\.json: expected what `hcp up` wrote.*delete it"):
        remembered(tmp_path)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StackError, match=r"--dir .* cannot be written"):
        remember(StackConfig(folder=tmp_path / "file" / "stack"))


def test_a_taken_port_that_nobody_chose_is_replaced(tmp_path: Path, taken: int) -> None:
    config = StackConfig(folder=tmp_path, ports=Ports(prefect=taken))
    settled = with_ports(config, {"mlflow": None})
    assert settled.ports.prefect != taken
    assert settled.given == ()


def test_a_taken_port_of_the_users_choice_is_an_error_that_names_its_holder(
    tmp_path: Path, taken: int
) -> None:
    with pytest.raises(StackError, match=rf"--mlflow-port {taken} is taken by process \d+ .*0 for"):
        with_ports(StackConfig(folder=tmp_path), {"mlflow": taken})


def test_a_chosen_port_stays_chosen(tmp_path: Path, taken: int) -> None:
    config = StackConfig(folder=tmp_path, ports=Ports(ray=taken), given=("ray",))
    with pytest.raises(StackError, match="--ray-port"):
        with_ports(config, {})
    assert with_ports(config, {"ray": 0}).given == ()


def test_a_choice_moves_a_default_that_is_the_same(tmp_path: Path) -> None:
    port = any_free()
    settled = with_ports(StackConfig(folder=tmp_path, ports=Ports(mlflow=port)), {"prefect": port})
    assert settled.ports.prefect == port
    assert settled.ports.mlflow != port


@pytest.mark.parametrize(
    ("ports", "said"),
    [({"prefect": 70_000}, "expected 1 to 65535, got 70000"),
     ({"prefect": 45_001, "mlflow": 45_001}, "--prefect-port and --mlflow-port are both 45001")],
)  # fmt: skip
def test_ports_that_cannot_be(tmp_path: Path, ports: dict[str, int | None], said: str) -> None:
    with pytest.raises(StackError, match=said):
        with_ports(StackConfig(folder=tmp_path), ports)


def test_a_pool_needs_a_name(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="--pool"):
        StackConfig(folder=tmp_path, pool="a/b")


def test_the_folder_is_given_or_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HCP_HOME", str(tmp_path / "home"))
    assert stack_folder() == tmp_path / "home"
    assert stack_folder(tmp_path / "x") == tmp_path / "x"
    assert option("ray_dashboard") == "--ray-dashboard-port"
