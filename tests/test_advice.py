"""Errors of the surroundings, each provoked or in the system's words, and the remedy that is told."""

import errno
import os

import numpy as np
import pytest
import torch

from pipeline import advice

ALLOCATIONS = {
    "python": lambda: bytearray(1 << 62),
    "numpy": lambda: np.empty(1 << 59),
    "torch": lambda: torch.empty(1 << 50),
}
ITK = "RuntimeError: itk::ERROR: Image(0x55d): Failed to allocate memory for image."


@pytest.mark.parametrize("library", ALLOCATIONS)
def test_no_memory(library):
    with pytest.raises((MemoryError, RuntimeError)) as caught:
        ALLOCATIONS[library]()
    assert "JOBS=1" in advice.remedy(f"{caught.type.__name__}: {caught.value}")


def test_no_memory_in_itk():
    assert "JOBS=1" in advice.remedy(ITK)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "Free some space"),
        (errno.EDQUOT, "Free some space"),
        (errno.EFBIG, "Free some space"),
        (errno.ENOMEM, "JOBS=1"),
        (errno.EACCES, "change its rights"),
        (errno.EPERM, "change its rights"),
        (errno.EROFS, "change its rights"),
    ],
)
def test_errors_of_the_system(code, words):
    assert words in advice.remedy(str(OSError(code, os.strerror(code), "a/file")))


def test_of_an_output_the_error_is_left_and_what_follows_it():
    full = "OSError: [Errno 28] No space left on device"
    told = advice.short(f"10%\nTraceback:\n  {full}\n  in f\n{full}\nkept: x.failed.ipynb")
    assert told == f"{full}\nkept: x.failed.ipynb\n\n{advice.remedy(full)}"
    assert advice.short(told) == told and advice.short("Traceback:\nValueError: no") is None


def test_of_other_errors_nothing_is_known():
    assert advice.remedy("ValueError: operands could not be broadcast together") is None
