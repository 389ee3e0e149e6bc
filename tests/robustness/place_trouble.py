"""Files that cannot be reached, under any name: missing, empty, links, permissions, names, special files."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

from tests.robustness.trouble import MODELS, READ, TEXTS, Bench, trouble

FILES = READ - MODELS - {"weights"}
ANY = READ - {"weights"}  # a name that is no path is a name of known weights


@trouble("missing", READ)
def missing_file(bench: Bench) -> Path:
    return bench.path()


@trouble("missing", READ)
def in_a_missing_folder(bench: Bench) -> Path:
    return bench.folder / "none" / bench.good.name


@trouble("missing", READ)
def below_a_file(bench: Bench) -> Path:
    return bench.put(b"", ".txt") / bench.good.name


@trouble("missing", READ)
def empty_name(bench: Bench) -> str:
    return ""


@trouble("missing", ANY)
def blank_name(bench: Bench) -> str:
    return " "


@trouble("empty", FILES - {"settings"})
def empty_file(bench: Bench) -> Path:
    return bench.put(b"")


@trouble("wrong type", FILES - {"raster", "embedding"})
def folder_for_a_file(bench: Bench) -> Path:
    bench.path().mkdir()
    return bench.path()


# --- links -----------------------------------------------------------------------------------------------------


@trouble("symbolic links", READ)
def dangling_link(bench: Bench) -> Path:
    bench.path().symlink_to(bench.folder / "nothing")
    return bench.path()


@trouble("symbolic links", READ)
def link_to_itself(bench: Bench) -> Path:
    bench.path().symlink_to(bench.path().name)
    return bench.path()


@trouble("symbolic links", READ)
def loop_of_links(bench: Bench) -> Path:
    other = bench.folder / "other"
    bench.path().symlink_to(other)
    other.symlink_to(bench.path())
    return bench.path()


@trouble("symbolic links", ANY, works=".", same=True)
def link_to_a_good_one(bench: Bench) -> Path:
    bench.path().symlink_to(bench.good)
    return bench.path()


@trouble("symbolic links", ANY, works=".", same=True)
def linked_folder(bench: Bench) -> Path:
    (bench.folder / "link").symlink_to(bench.good.parent)
    return bench.folder / "link" / bench.good.name


# --- names -----------------------------------------------------------------------------------------------------

NAMES = {
    "new_line": "a\nb",
    "markup": "[red]a[]",
    "braces": "{0}{name}%s%(a)s",
    "shell": "$(touch hacked);`x`|&",
    "quotes": "a'b\"c",
    "escape_sequence": "a\x1b[31mb",
    "question": "a?b=c#d",
    "url": "http:a",
    "sub_dataset": "GPKG:a:b",
    "bang": "a!b",
    "star": "a*[b]",
    "spaces": "  a  b ",
    "dots": "a.b.c",
    "non_ascii": "žluťoučký-森林-🌲",
    "combining": "e\u0301",
    "right_to_left": "\u202eabc",
    "invalid_utf8": "a\udcff\udcfeb",
    "backslash": "a\\b",
}


def _named(name: str, stem: str) -> None:
    def good_one(bench: Bench) -> Path:
        path = bench.folder / f"{stem}{bench.good.suffix}"
        if bench.good.is_dir():
            shutil.copytree(bench.good, path, copy_function=os.link)
        else:
            shutil.copyfile(bench.good, path)
        return path

    def bad_one(bench: Bench) -> Path:
        path = bench.folder / f"{stem}{bench.good.suffix}"
        path.write_bytes(b"nothing that can be read")
        return path

    good_one.__name__, bad_one.__name__ = f"{name}_in_a_good_name", f"{name}_in_a_bad_name"
    kind = "non-ASCII names" if not stem.isascii() else "hostile names"
    works = r":(points|area|settings|study|palette)$" if "\udcff" in stem else "."
    trouble(kind, ANY, works=works, same=True)(good_one)
    trouble(kind, ANY)(bad_one)


for _name, _stem in NAMES.items():
    _named(_name, _stem)


@trouble("hostile names", ANY)
def name_of_an_option(bench: Bench) -> str:
    return "--nothing"


@trouble("very long names", READ)
def name_of_300_bytes(bench: Bench) -> Path:
    return bench.path("x" * 300 + bench.good.suffix)


@trouble("very long names", READ)
def path_of_5000_bytes(bench: Bench) -> Path:
    return bench.folder.joinpath(*["y" * 200] * 25, bench.good.name)


@trouble("very long names", ANY, works=".", same=True)
def good_name_of_255_bytes(bench: Bench) -> Path:
    path = bench.folder / ("z" * (255 - len(bench.good.suffix)) + bench.good.suffix)
    path.symlink_to(bench.good)
    return path


@trouble("very long names", ANY, works=".", same=True)
def good_path_of_2000_bytes(bench: Bench) -> Path:
    folder = bench.folder.joinpath(*["w" * 190] * 10)
    folder.mkdir(parents=True)
    (folder / bench.good.name).symlink_to(bench.good)
    return folder / bench.good.name


# --- special files ---------------------------------------------------------------------------------------------


@trouble("special files", READ)
def pipe(bench: Bench) -> Path:
    os.mkfifo(bench.path())
    return bench.path()


@trouble("special files", READ)
def endless_device(bench: Bench) -> Path:
    return Path("/dev/zero")


@trouble("special files", READ - {"settings"})
def empty_device(bench: Bench) -> Path:
    return Path("/dev/null")


@trouble("special files", READ)
def local_socket(bench: Bench) -> Path:
    server = socket.socket(socket.AF_UNIX)
    os.chdir(bench.folder)  # the path of a socket must be short
    server.bind(bench.path().name)
    bench.stack.callback(server.close)
    return bench.path()


# --- permissions -----------------------------------------------------------------------------------------------


def _copied(bench: Bench, folder: Path) -> Path:
    path = folder / bench.good.name
    if bench.good.is_dir():
        shutil.copytree(bench.good, path)
    else:
        shutil.copyfile(bench.good, path)
    return path


@trouble("no permission", READ, needs="permissions")
def unreadable_file(bench: Bench) -> Path:
    path = _copied(bench, bench.folder)
    parts = [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]
    for part in parts:
        part.chmod(0)
    return path


@trouble("no permission", READ, needs="permissions")
def unreadable_folder(bench: Bench) -> Path:
    closed = bench.folder / "closed"
    closed.mkdir()
    path = _copied(bench, closed)
    closed.chmod(0)
    bench.stack.callback(closed.chmod, 0o700)
    return path


@trouble("read-only", ANY, works=".", same=True, needs="permissions")
def read_only_folder(bench: Bench) -> Path:
    path = _copied(bench, bench.folder)
    path.chmod(0o500 if path.is_dir() else 0o400)
    bench.folder.chmod(0o500)
    bench.stack.callback(bench.folder.chmod, 0o700)
    return path


# --- texts -----------------------------------------------------------------------------------------------------


@trouble("text garbage", TEXTS, works=".", same=True)
def byte_order_mark(bench: Bench) -> Path:
    return bench.put(b"\xef\xbb\xbf" + bench.good.read_bytes())


@trouble("text garbage", TEXTS, works=".", same=True)
def windows_line_ends(bench: Bench) -> Path:
    return bench.put(bench.good.read_bytes().replace(b"\n", b"\r\n"))
