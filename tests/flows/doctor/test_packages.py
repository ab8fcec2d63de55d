"""Versions of libraries against what pyproject.toml asks for."""

from importlib.metadata import version

from flows.doctor.packages import check_packages, misfits, requires_of


def test_what_is_installed_here_fits() -> None:
    rows = {row["what"]: row for row in check_packages()}
    assert rows["python"]["state"] == "ok"
    assert rows["prefect"]["state"] == "ok"
    assert not [row for row in rows.values() if row["state"] == "bad"]


def test_a_version_that_does_not_fit_is_found_whatever_extra_asks_for_it() -> None:
    asked = ('sqlalchemy<1; extra == "flows"', "httpx>=0.1", "nothing-of-this-name>=1", "! broken")
    assert dict(misfits(asked)) == {"sqlalchemy": (version("sqlalchemy"), "<1")}


def test_our_own_bounds_are_read() -> None:
    texts = requires_of("hcp")
    assert requires_of("nothing-of-this-name") == ()
    assert not texts or any(text.startswith("fastapi<") for text in texts)
