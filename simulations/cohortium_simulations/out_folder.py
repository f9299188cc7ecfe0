"""The folder that a command's ``--out`` names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cohortium_protocols.errors import StorageError


def written(texts: Mapping[str, str], folder: Path) -> list[Path]:
    """Writes each text to the folder under its name, making the folder where needed, and returns where they are.

    Raises:
        StorageError: the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(
            f"The folder {folder} cannot be written to.", why=error.strerror or "", do="choose another --out"
        ) from error
    return [folder / name for name in texts]
