"""What is wrong with a file, and what to do about it."""

from collections.abc import Iterable
from typing import NamedTuple

from ssl_hip.config import UserError

Finding = tuple[str, str]  # problem, remedy


class Fault(NamedTuple):
    """One problem of one file, never quoting what a header says about the patient."""

    file: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.file}: {self.problem}; {self.remedy}"


class FaultError(UserError):
    """A file that cannot be used: `faults` says why."""

    def __init__(self, faults: Iterable[Fault]):
        self.faults = list(faults)
        super().__init__("; ".join(map(str, self.faults)))
