"""Freed memory stays with the process where the C library can be asked for it."""

import ctypes
import platform
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, sys
from geopointseg.model.allocator import keep_freed_memory

class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena ordblks smblks hblks hblkhd e f g h i".split()]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype, libc.malloc.restype = Info, ctypes.c_void_p
if sys.argv[1] == "kept":
    assert keep_freed_memory()
before = libc.mallinfo2().hblks
libc.malloc(ctypes.c_size_t(48 << 20))
print(libc.mallinfo2().hblks - before)
"""


def has_mallinfo() -> bool:
    return platform.libc_ver()[0] == "glibc" and hasattr(ctypes.CDLL(None), "mallinfo2")


@pytest.mark.skipif(not has_mallinfo(), reason="needs glibc 2.33 or newer")
@pytest.mark.parametrize(("way", "mappings"), [("given back", 1), ("kept", 0)])
def test_large_blocks_come_from_the_heap(way, mappings):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, way], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == mappings


RETURN = """
import ctypes, os
from geopointseg.model.allocator import keep_freed_memory, return_freed_memory

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20

assert keep_freed_memory()
blocks = []
for _ in range(100):
    for size in (1 << 20, 1 << 12):  # small blocks that stay, between large ones that are freed
        block = libc.malloc(ctypes.c_size_t(size))
        ctypes.memset(block, 1, size)
        blocks.append(block)
for block in blocks[::2]:
    libc.free(ctypes.c_void_p(block))
before = resident()
return_freed_memory()
print(before - resident())
"""


@pytest.mark.skipif(not has_mallinfo(), reason="needs glibc 2.33 or newer")
def test_freed_memory_between_used_blocks_is_returned():
    done = subprocess.run(
        [sys.executable, "-c", RETURN], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) > 80
