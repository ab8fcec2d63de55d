"""The small files of a stack's folder."""

import subprocess
import threading
from pathlib import Path

import pytest

from flows.stack.config import StackConfig, StackError
from flows.stack.files import alone, clear_ray_sessions, environment_file, write_client_files
from flows.stack.services import client_environment, ray_folder, token_file


def test_a_terminal_reads_the_variables_as_they_are(tmp_path: Path) -> None:
    config = StackConfig(folder=tmp_path / "a 'b' $HOME")
    config.folder.mkdir()
    write_client_files(config)
    wanted = client_environment(config)
    file = str(environment_file(config.folder))
    for name, value in wanted.items():
        done = subprocess.run(
            ["bash", "-c", f'. "$1" && printf %s "${name}"', "-", file],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout == value


def test_the_token_is_this_users_alone_and_stays(tmp_path: Path) -> None:
    config = StackConfig(folder=tmp_path)
    write_client_files(config)
    token = token_file(config)
    first = token.read_text()
    assert len(first) == 64
    assert token.stat().st_mode & 0o077 == 0
    write_client_files(config)
    assert token.read_text() == first


def test_two_commands_take_turns(tmp_path: Path) -> None:
    said, order = list[str](), list[str]()

    def second() -> None:
        with alone(tmp_path, said.append):
            order.append("second")

    with alone(tmp_path / ".", said.append):
        thread = threading.Thread(target=second)
        thread.start()
        while not said:
            thread.join(0.01)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert "waiting for it" in said[0]
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(StackError, match=r"--dir .*cannot be written"),
        alone(tmp_path / "file", print),
    ):
        pass


def test_the_last_starts_of_ray_are_kept(tmp_path: Path) -> None:
    config = StackConfig(folder=tmp_path)
    for day in (1, 2, 3):
        (ray_folder(config) / f"session_2026-01-0{day}").mkdir(parents=True)
    (ray_folder(config) / "session_latest").symlink_to("session_2026-01-03")
    clear_ray_sessions(config)
    assert sorted(path.name for path in ray_folder(config).iterdir()) == [
        "session_2026-01-02", "session_2026-01-03", "session_latest",
    ]  # fmt: skip
