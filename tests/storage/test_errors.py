"""Every fault that a user can act on is caught as one class."""

import inspect

import pytest

from storage import errors
from storage.errors import HcpError

CLASSES = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]


@pytest.mark.parametrize("kind", CLASSES)
def test_one_base_and_a_line_that_says_what_it_is(kind):
    assert issubclass(kind, HcpError)
    # Callers' mistakes are another matter; but for a setting's place, which pydantic must refuse.
    assert kind is errors.PlaceError or not issubclass(kind, ValueError | OSError)
    assert inspect.getdoc(kind)
    assert str(kind("what, got, expected, where")) == "what, got, expected, where"
