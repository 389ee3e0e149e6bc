"""Settings, studies, palettes and descriptions of models that cannot be read, and damaged model folders."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.robustness.trouble import MODELS, TEXTS, Bench, trouble

JSONS = MODELS | {"palette"}
DEEP = 100_000


def _place(bench: Bench, content: bytes) -> Path:
    """Write a text in the place of the good one: the file, or the description in a copy of the model's folder."""
    if not bench.good.is_dir():
        return bench.put(content)
    copy = bench.path("")
    shutil.copytree(bench.good, copy, copy_function=os.link)
    description = next(copy.glob("*.json"))
    description.unlink()
    description.write_bytes(content)
    return copy


def _garbage(name: str, toml: bytes | None, json: bytes | None, kind: str = "text garbage") -> None:
    for roles, content in ((TEXTS, toml), (JSONS, json)):
        if content is None:
            continue

        def make(bench: Bench, content: bytes = content) -> Path:
            good = next(bench.good.glob("*.json")) if bench.good.is_dir() else bench.good
            return _place(bench, content.replace(b"<good>", good.read_bytes()))

        make.__name__ = name
        trouble(kind, roles)(make)


_garbage("words", b"this is no toml", b"this is no json")
_garbage("nul_bytes", b"\0\0\0\0", b"\0\0\0\0")
_garbage("nul_at_the_end", b"<good>\n\0", b"<good>\0")
_garbage("invalid_utf8", b"<good>\n# \xff\xfe", b"\xff\xfe<good>")
_garbage("utf_16", "[loss]\ngamma = 1.0\n".encode("utf-16"), '{"a": 1}'.encode("utf-16"))
_garbage("deeply_nested", b"a = " + b"[" * DEEP, None)
_garbage("deeply_nested_whole", b"a = " + b"[" * DEEP + b"]" * DEEP, None)
_garbage("deep_tables", b"a" + b".a" * DEEP + b" = 1", None)
_garbage("duplicate_keys", b"<good>\n[loss]\ngamma = 1.0\ngamma = 2.0\n", None)
_garbage("duplicate_sections", b"<good>\n[loss]\n[loss]\n", None)
_garbage("unclosed", b'a = "', b'{"a": "')
_garbage("many_digits", b"a = " + b"9" * 10_000, b'{"format": ' + b"9" * 10_000 + b"}", "huge numbers")  # fmt: skip
_garbage("a_list", None, b"[1, 2, 3]")
_garbage("a_number", None, b"7")
_garbage("null", None, b"null")
_garbage("empty_text", None, b"", "empty")
_garbage("huge_integer", b"[loss]\ngamma = 1" + b"0" * 400, None, "huge numbers")
_garbage("huge_hex", b"[optimization]\nsteps = 0x" + b"f" * 9000, None, "huge numbers")
_garbage("nan", b"[loss]\ngamma = nan", None, "NaN and infinity")
_garbage("infinity", b"[optimization]\nminutes = inf", None, "NaN and infinity")
_garbage("section_that_is_a_number", b"loss = 3", None, "wrong dtype")
_garbage("section_that_is_a_list", b"[[loss]]\ngamma = 1.0", None, "wrong dtype")
_garbage("date_for_a_number", b"[loss]\ngamma = 2020-01-01", None, "wrong dtype")
_garbage("list_for_a_text", b"[scene]\nstack = [1, [2]]", None, "wrong dtype")
_garbage("unknown_section", b"[nothing]\na = 1", None, "wrong type")


@trouble("claims", TEXTS | {"palette"})
def text_of_a_gigabyte(bench: Bench) -> Path:
    """Claims a gigabyte without taking it: a hole in the file."""
    path = _place(bench, b"")
    described = next(path.glob("*.json")) if path.is_dir() else path
    os.truncate(described, 10**9)
    return path


@trouble("empty", {"study"})
def study_of_nothing(bench: Bench) -> Path:
    return bench.put(b"")


def _study(name: str, old: str, new: str, kind: str = "wrong dtype") -> None:
    def make(bench: Bench) -> Path:
        text = bench.good.read_text()
        assert old in text
        return bench.put(text.replace(old, new).encode())

    make.__name__ = name
    trouble(kind, {"study"})(make)


_study("data_that_is_a_number", "[data.town]", "data = 3\n[fixed]")
_study("seeds_that_are_a_text", "seeds = [0]", 'seeds = "abc"')
_study("seeds_that_are_a_number", "seeds = [0]", "seeds = 5")
_study("no_seeds", "seeds = [0]", "seeds = []", "empty")
_study("negative_seeds", "seeds = [0]", "seeds = [-1]", "huge numbers")
_study("seeds_of_fractions", "seeds = [0]", "seeds = [nan]", "NaN and infinity")
_study("huge_seeds", "seeds = [0]", "seeds = [99999999999999999999999]", "huge numbers")
_study("baselines_that_are_a_number", 'baselines = ["majority"]', "baselines = 1")
_study("factors_that_are_a_text", "[[factors]]", 'factors = "x"\n[fixed2]')
_study("factors_that_are_a_section", "[[factors]]", "[factors]")
_study("levels_that_are_a_number", "levels = [3, 5]", "levels = 5")
_study("levels_of_text", "levels = [3, 5]", 'levels = ["a", "b"]')
_study("levels_of_nan", "levels = [3, 5]", "levels = [nan, nan]", "NaN and infinity")
_study("negative_levels", "levels = [3, 5]", "levels = [-3, 5]", "huge numbers")
_study("levels_of_lists", "levels = [3, 5]", "levels = [[1], [2]]")
_study("images_that_are_a_number", "test_images = ", "test_images = 7 #")
_study("resolution_of_text", "[[factors]]", 'resolution_m = "x"\n[[factors]]')
_study("fixed_that_is_a_list", "[fixed]", "[[fixed]]")
_study("fixed_out_of_range", '"optimization.steps" = 2', '"optimization.steps" = -2', "huge numbers")  # fmt: skip
_study("hypotheses_that_are_numbers", "[fixed]", "[[hypotheses]]\nmargin = 3\n[fixed]")
_study("data_root_of_nothing", "data_root", 'data_root = "none"\n# ', "missing")


def _damaged_folder(
    name: str, kind: str, file: str, content: bytes | None, works: str = ""
) -> None:
    def make(bench: Bench) -> Path:
        copy = bench.path("")
        shutil.copytree(bench.good, copy, copy_function=os.link)
        part = copy / file
        assert part.exists()
        whole = part.read_bytes()
        part.unlink()
        if content is not None:
            part.write_bytes(content.replace(b"<half>", whole[: len(whole) // 2]))
        return copy

    make.__name__ = name
    trouble(kind, MODELS, works=works)(make)


_damaged_folder("without_weights", "missing", "model.safetensors", None, "assess/model")
_damaged_folder("empty_weights", "empty", "model.safetensors", b"", "assess/model")
_damaged_folder("half_of_the_weights", "truncated", "model.safetensors", b"<half>", "assess/model")
_damaged_folder("weights_of_words", "wrong type", "model.safetensors", b"words", "assess/model")
_damaged_folder("without_description", "missing", "model.json", None)
_damaged_folder("half_of_the_description", "truncated", "model.json", b"<half>")


@trouble("wrong type", MODELS | {"weights"})
def folder_of_something_else(bench: Bench) -> Path:
    bench.path("").mkdir()
    (bench.path("") / "notes.txt").write_text("none")
    return bench.path("")


@trouble("wrong type", MODELS)
def raster_for_a_model(bench: Bench) -> Path:
    return bench.good.parent / "scene.tif"


@trouble("text garbage", {"palette"})
def palette_of_brackets(bench: Bench) -> Path:
    return bench.put(b"[" * DEEP)


@trouble("text garbage", {"palette"})
def palette_of_an_object(bench: Bench) -> Path:
    return bench.put(b"{}")
