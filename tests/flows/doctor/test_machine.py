"""Clock, GPU and disk of a machine."""

from pathlib import Path

from flows.doctor.machine import check_clock, check_disk, check_gpu

_YEAR_S = 365 * 86_400.0


def test_a_clock_before_the_installation_is_bad() -> None:
    assert check_clock()["state"] != "bad"
    wrong = check_clock(now_s=30 * _YEAR_S, written_s=50 * _YEAR_S)
    assert wrong["state"] == "bad"
    assert "timedatectl" in wrong["do"]


def test_a_gpu_that_torch_does_not_see_is_told(tmp_path: Path) -> None:
    (tmp_path / "nvidia0").touch()
    found = check_gpu(str(tmp_path / "nvidia[0-9]*"))
    assert found["state"] in ("bad", "ok")  # ok: this machine has a real one
    if found["state"] == "bad":
        assert found["found"].startswith("1 in the machine, but torch")
        assert found["do"]


def test_a_disk_without_room_is_bad(tmp_path: Path) -> None:
    assert check_disk(tmp_path, least_gib=0)["state"] == "ok"
    full = check_disk(tmp_path, least_gib=1e9)
    assert full["state"] == "bad"
    assert "hcp gc" in full["do"]
