"""Faults in the middle of commands; ``tests/benchmarks/faults.py`` runs a hundred."""

from __future__ import annotations

import errno
import sys

import pytest

from geopointseg.cli.app import _sentence
from geopointseg.errors import ModelError, TrainingError, is_out_of_memory
from tests.benchmarks.faults import LIVE, SUBJECTS, Laboratory, Subject

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux processes")
BY_NAME = {
    "network": SUBJECTS[0], "linear": SUBJECTS[2], "predict": SUBJECTS[3], "study": SUBJECTS[4], "match": SUBJECTS[5], "live": LIVE,
}  # fmt: skip
CASES = [
    ("network", "kill", 3),
    ("network", "term", 4),
    ("linear", "int", 1),
    ("linear", "damaged", 2),
    ("predict", "kill", 876363),
    ("predict", "term", 5),
    ("predict", "disk", 799308),
    ("predict", "truncated", 6),
    ("predict", "memory", 7),
    ("match", "kill", 804423),
    ("match", "disk", 729633),
    ("match", "clock", 467022),
    ("study", "kill", 8),
    ("live", "kill", 9),
    ("live", "disk", 10),
    ("live", "memory", 11),
]


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory) -> Laboratory:
    return Laboratory(tmp_path_factory.mktemp("faults"))


@pytest.mark.parametrize(("name", "kind", "seed"), CASES)
def test_a_second_run_after_a_fault_gives_the_undisturbed_result(
    laboratory, name, kind, seed
) -> None:
    subject: Subject = BY_NAME[name]
    outcome = laboratory.strike(subject, kind, seed)
    assert not outcome.problems, outcome.line()


def chained(outer: Exception, cause: Exception) -> Exception:
    outer.__cause__ = cause
    return outer


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:120] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("could not create a primitive"), True),
        (RuntimeError("can't start new thread"), True),
        (chained(OSError("Read failed."), RuntimeError("Out of memory allocating 4096 bytes")), True),
        (RuntimeError("CUDA out of memory."), True),
        (OSError(errno.ENOSPC, "No space left on device"), False),
        (ValueError("a wrong value"), False),
    ],
)  # fmt: skip
def test_errors_of_libraries_for_want_of_memory_are_known(error, expected) -> None:
    assert is_out_of_memory(error) is expected


def test_a_model_is_not_blamed_for_want_of_memory() -> None:
    blamed = chained(ModelError("The model is wrong."), RuntimeError("can't allocate memory"))
    assert _sentence(blamed, is_for_people=True).startswith(
        "Memory ran out (can't allocate memory)."
    )
    kept = chained(TrainingError("Half a batch does not fit."), RuntimeError("CUDA out of memory."))
    assert _sentence(kept, is_for_people=True) == "Half a batch does not fit."
    assert (
        _sentence(chained(ModelError("Wrong."), ValueError("no")), is_for_people=True) == "Wrong."
    )
