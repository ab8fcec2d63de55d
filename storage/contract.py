"""Data of a later version of this package are refused by name, before anything is made of them."""

from importlib.metadata import PackageNotFoundError, version

from storage.errors import ContractError
from storage.records import CONTRACT_VERSION


def refuse_newer(found: object, *, where: str) -> None:
    """Do nothing for a contract that this version knows, or for what is no contract at all.

    Raises:
        ContractError: it is a later one.
    """
    if isinstance(found, int) and found > CONTRACT_VERSION:
        raise ContractError(
            f"{where}: written by a later version of hcp: contract {found}, and this one "
            f"({_own_version()}) reads up to {CONTRACT_VERSION}; upgrade hcp here and on the "
            "workers, or take another root"
        )


def _own_version() -> str:
    try:
        return version("hcp")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "not installed"
