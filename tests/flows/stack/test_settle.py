"""What ``hcp up`` refuses before anything is started."""

from pathlib import Path

import pytest

from flows.stack.config import StackError, remembered
from flows.stack.ports import any_free
from flows.stack.settle import Wish, settled


def test_a_cluster_that_does_not_answer(tmp_path: Path) -> None:
    wish = Wish(folder=tmp_path, ray_address=f"ray://127.0.0.1:{any_free()}")
    with pytest.raises(StackError, match=r"--ray-address ray://.*: nothing answers there"):
        settled(wish, print)
    assert remembered(tmp_path) is None


def test_a_missing_library_is_told_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(name: str) -> object:
        return None if name == "mlflow" else object()

    monkeypatch.setattr("flows.stack.settle.find_spec", find)
    with pytest.raises(StackError, match=r"mlflow: .*pip install 'hcp\[train\]'"):
        settled(Wish(folder=tmp_path, ports={"prefect": 0}), print)


def test_an_own_cluster_leaves_the_head_out(tmp_path: Path) -> None:
    import socket

    with socket.socket() as cluster:
        cluster.bind(("127.0.0.1", 0))
        cluster.listen(1)
        address = f"127.0.0.1:{cluster.getsockname()[1]}"
        config, missing = settled(Wish(folder=tmp_path, ray_address=address), print)
    assert config.ray_address == address
    assert [service.name for service in missing] == ["prefect", "worker", "mlflow"]
