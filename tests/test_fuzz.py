"""Damaged files by the thousand: readers and the parameters' check answer with their own error, or with a result.

A slice of it runs always; `make torture` runs 100,000 (FUZZ says how many). A crash of a library ends the whole test.
"""

import os
import resource
import time
import warnings

import numpy as np
import psutil
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from samples import ct, image, write_dicom
from scratch import ROOT

from ssl_hip import config, schema
from ssl_hip.config import UserError
from ssl_hip.images import volumes
from ssl_hip.scans import checks, layouts

SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".mha", ".dcm")
PARTS = {"images": 0.77, "series": 0.1, "parameters": 0.03, "manifests": 0.1}  # of all inputs
SECONDS, BYTES = 10, 2 << 30  # of processor time and memory that one input may take at most
LEFT = 64 << 20  # bytes that may still be taken afterwards


def some(part: str):
    """Return the settings of a test that takes its part of all inputs; the same inputs in every run."""
    number = max(1, int(int(os.environ.get("FUZZ", 1000)) * PARTS[part]))
    unchecked = list(HealthCheck)
    return settings(
        max_examples=number, deadline=None, derandomize=True, database=None, suppress_health_check=unchecked
    )


@st.composite
def damages(draw, most: int = 6):
    """Draw what happens to some bytes: (place as a share of the file or of its header, what, a byte) several times."""
    place = st.one_of(st.floats(0, 1), st.integers(0, 400))
    return draw(
        st.lists(
            st.tuples(place, st.sampled_from(("set", "cut", "insert", "double")), st.binary(max_size=9)),
            min_size=1,
            max_size=most,
        )
    )


def damaged(content: bytes, steps: list) -> bytes:
    """Return content after these damages."""
    for place, what, data in steps:
        at = int(place * len(content)) if isinstance(place, float) else min(place, len(content))
        if what == "set":
            content = content[:at] + data + content[at + len(data) :]
        elif what == "cut":
            content = content[:at] + content[at + 4 * len(data) :]
        elif what == "insert":
            content = content[:at] + data + content[at:]
        else:
            content = content[:at] + content[at : at + 64] * 2 + content[at + 64 :]
    return content


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> dict:
    """A sound file of every format, as small as can be, and the slices of a DICOM series."""
    folder, contents = tmp_path_factory.mktemp("sound"), {}
    small = image(ct((4, 5, 6)))
    for suffix in SUFFIXES[:-1]:
        sitk.WriteImage(small, str(folder / f"a{suffix}"), useCompression=suffix == ".nii.gz")
        contents[suffix] = (folder / f"a{suffix}").read_bytes()
    slices = [path.read_bytes() for path in sorted(write_dicom(folder / "dicom", ct((4, 5, 6))).iterdir())]
    return contents | {".dcm": slices[0], "series": slices}


@pytest.fixture
def within_limits():
    """Return a function that runs an action in limited memory; it fails where that takes long or keeps much."""
    process, unlimited = psutil.Process(), resource.getrlimit(resource.RLIMIT_AS)

    def run(action):
        start, before = time.process_time(), process.memory_info()
        resource.setrlimit(resource.RLIMIT_AS, (before.vms + BYTES, unlimited[1]))
        try:
            action()
        except UserError as error:
            assert str(error)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, unlimited)
            assert time.process_time() - start < SECONDS
            assert process.memory_info().rss - before.rss < LEFT

    return run


def read(path) -> None:
    """Read an image: where that succeeds, it lies somewhere."""
    image = volumes.read_image(path)
    assert np.isfinite([*image.GetSpacing(), *image.GetOrigin(), *image.GetDirection()]).all()
    assert min(image.GetSpacing()) > 0


def test_images(sound, within_limits, tmp_path):
    @some("images")
    @given(st.sampled_from(SUFFIXES), damages())
    def readable_or_told(suffix, steps):
        path = tmp_path / f"a{suffix}"
        path.write_bytes(damaged(sound[suffix], steps))
        within_limits(lambda: checks.check_image(path))
        within_limits(lambda: read(path))

    readable_or_told()


def test_series(sound, within_limits, tmp_path):
    """Slices of a DICOM folder: damaged, lost, twice there, taken for one another, beside other files."""
    number = st.integers(0, len(sound["series"]) - 1)

    @some("series")
    @given(st.lists(st.tuples(number, damages() | st.just([])), max_size=6), st.binary(max_size=200))
    def readable_or_told(slices, other):
        for path in tmp_path.iterdir():
            path.unlink()
        for place, (which, steps) in enumerate(slices):
            (tmp_path / f"{place}.dcm").write_bytes(damaged(sound["series"][which], steps))
        (tmp_path / "notes.txt").write_bytes(other)
        within_limits(lambda: checks.check_image(tmp_path))
        within_limits(lambda: read(tmp_path))

    readable_or_told()


def test_parameters(within_limits, tmp_path):
    text = (ROOT / "params/smoke.yaml").read_bytes()

    @some("parameters")
    @given(damages())
    def valid_or_told(steps):
        path = tmp_path / "params.yaml"
        path.write_bytes(damaged(text, steps))
        within_limits(lambda: schema.check(config.read_yaml(path)))

    valid_or_told()


def test_manifests(within_limits, tmp_path):
    text = b"subject,image,label,split,metal,tags\na,a.nii.gz,b.nii.gz,train,0,x\nb,c.nrrd,,train,1,\n" * 2

    @some("manifests")
    @given(damages())
    def listed_or_told(steps):
        path = tmp_path / "scans.csv"
        path.write_bytes(damaged(text, steps))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            within_limits(lambda: layouts.table("manifest", path, [1]))

    listed_or_told()
