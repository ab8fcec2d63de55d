"""Which extra of this package brings which optional library; pyproject.toml says the same."""

from collections.abc import Generator
from contextlib import contextmanager

from storage.errors import MissingExtraError

EXTRAS = {
    "extract": (
        "cv2", "imagehash", "pyarrow", "ray", "segment_anything", "torchvision", "ultralytics",
        "yaml",
    ),
    "train": ("jinja2", "mlflow", "pyarrow", "ray", "torchmetrics", "torchvision"),
    "flows": ("httpx", "jinja2", "prefect", "pyarrow", "pydantic", "rich", "typer", "yaml"),
    "s3": ("s3fs",),
}  # fmt: skip


@contextmanager
def explained_imports() -> Generator[None]:
    """Import optional libraries inside: one that is missing is told with the command to install it.

    Raises:
        MissingExtraError: a library of an extra is not installed.
    """
    try:
        yield
    except ImportError as error:
        missing = error.__cause__ or error  # fsspec tells a missing file system as ImportError
        if not isinstance(missing, ModuleNotFoundError):
            raise
        library = (missing.name or "").split(".")[0]
        commands = [f"pip install 'hcp[{name}]'" for name, brings in EXTRAS.items()
                    if library in brings]  # fmt: skip
        if not commands:
            raise
        raise MissingExtraError(
            f"the library {library} is not installed; it comes with {' or '.join(commands)}",
            name=library,
        ) from error
