"""De-identify directory trees of DICOM files by rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deid_batch.api import Deidentifier

__all__ = ["Deidentifier", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`Deidentifier` is imported when it is asked for: the command has no use for it and starts quicker without."""
    if name == "Deidentifier":
        from deid_batch.api import Deidentifier  # noqa: PLC0415

        return Deidentifier
    raise AttributeError(name)
