"""The ``hcp`` command; where its libraries are missing, it says what to install."""

import sys

from storage.errors import MissingExtraError
from storage.extras import explained_imports


def main() -> None:
    """Run the command line."""
    try:
        with explained_imports():
            from flows.cli import main as run

            run()
    except MissingExtraError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
