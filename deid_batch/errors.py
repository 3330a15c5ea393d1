"""Every error of the package, in one tree.

DeidBatchError
├── UsageError            a wrong call; nothing was written        (exit 2)
│   └── ConfigError       a config with problems, all of them at once
├── SourceError           SOURCE is missing, unreadable or empty   (exit 3)
├── StoppedEarly          the machine does not let the run go on   (exit 5)
└── FileError             one file; it becomes one audit row
    ├── Skipped           not a DICOM instance
    ├── SetAside          a policy said no
    ├── BadValue          a value a method can't treat
    ├── InvalidOutput     a result that its VR does not allow
    └── Unreadable        a structure that can't be read without doubt
        ├── OddEncoding   not in the form it claims; pydicom may still read it
        └── NeedMore      the value goes on behind the bytes at hand

No message ever holds an element's value or a key.
"""

from __future__ import annotations

from typing import ClassVar


class DeidBatchError(Exception):
    """The root of the tree."""

    exit_code: ClassVar[int] = 1


class UsageError(DeidBatchError):
    """A wrong call or config; nothing was written."""

    exit_code = 2


class ConfigError(UsageError):
    """A config with problems; `problems` holds one printable line for each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class SourceError(DeidBatchError):
    """SOURCE is missing, unreadable or holds no DICOM file."""

    exit_code = 3


class StoppedEarly(DeidBatchError):
    """The run can't go on for the machine's sake (disk full, OUT not writable, OUT held by another run)."""

    exit_code = 5


class OutputError(OSError):
    """A fault of the place that is written to, not of the file that is read."""


class FileError(DeidBatchError):
    """What became of one file: `status` and `reason` are codes of the audit log, `detail` names tags only."""

    status: ClassVar[str] = "failed"

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[type[FileError], tuple[str, str]]:
        return type(self), (self.reason, self.detail)


class Skipped(FileError):
    """Not a DICOM instance."""

    status = "skipped"


class SetAside(FileError):
    """A policy keeps the file from being written."""

    status = "set-aside"


class BadValue(FileError):
    """A value that a method can't treat."""

    def __init__(self, detail: str = "") -> None:
        super().__init__("bad-value", detail)

    def __reduce__(self) -> tuple[type[FileError], tuple[str, ...]]:  # type: ignore[override]
        return type(self), (self.detail,)


class InvalidOutput(FileError):
    """A result that its VR does not allow, where that must not be."""

    def __init__(self, detail: str = "") -> None:
        super().__init__("invalid-output", detail)

    def __reduce__(self) -> tuple[type[FileError], tuple[str, ...]]:  # type: ignore[override]
        return type(self), (self.detail,)


class Unreadable(FileError):
    """A structure that can't be read without doubt."""


class OddEncoding(Unreadable):
    """Not encoded as it claims to be; a more tolerant reader may know better."""


class NeedMore(Unreadable):
    """The bytes at hand end inside an element: `stop` is where it ends among them, as far as is known."""

    def __init__(self, stop: int = 0) -> None:
        super().__init__("truncated", "the file ends inside a data element")
        self.stop = stop

    def __reduce__(self) -> tuple[type[FileError], tuple[int]]:  # type: ignore[override]
        return type(self), (self.stop,)
