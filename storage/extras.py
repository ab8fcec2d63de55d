"""Which extra of this package brings which optional library; pyproject.toml says the same."""

from collections.abc import Generator
from contextlib import contextmanager

from storage.errors import MissingExtraError

EXTRAS = {
    "extract": (
        "cv2", "imagehash", "pyarrow", "ray", "segment_anything", "torchvision", "ultralytics",
        "yaml",
    ),
    "train": (
        "jinja2", "mlflow", "peft", "pyarrow", "ray", "tensorboardX", "torchvision",
    ),
    "inception": ("torch_fidelity",),
    "lora": ("peft",),
    "flows": (
        "httpx", "jinja2", "packaging", "prefect", "psutil", "pyarrow", "pydantic", "rich", "typer",
        "yaml",
    ),
    "s3": ("boto3", "s3fs"),
    "postgres": ("psycopg2",),
    "docker": ("prefect_docker",),
    "kubernetes": ("prefect_kubernetes",),
    "bnb": ("bitsandbytes",),
    "heif": ("pi_heif",),
    "jxl": ("pillow_jxl",),
    "schedule-free": ("schedulefree",),
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
        if not (command := install_command(library)):
            raise
        raise MissingExtraError(
            f"the library {library} is not installed; it comes with {command}", name=library
        ) from error


def install_command(library: str) -> str:
    """What brings an optional library, by its import name; empty where no extra does."""
    names = [name for name, brings in EXTRAS.items() if library in brings]
    return " or ".join(f"pip install 'hcp[{name}]'" for name in names)
