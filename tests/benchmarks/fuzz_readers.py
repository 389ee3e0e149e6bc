"""Fuzz the readers of documents: coverage-guided by atheris where it is installed, else by random changes of the samples.

A reader may return a result or raise `GeopointsegError` (`ValueError` for the parsers below it); anything else is a finding, which is
printed with its input. Atheris is no dependency of the tests: ``pip install atheris``.

    python tests/benchmarks/fuzz_readers.py legend --minutes 10 --corpus tests/benchmarks/fuzz_corpus
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import random
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

FOLDER = Path(tempfile.mkdtemp(prefix="fuzz-"))
Reader = Callable[[bytes], object]


def _readers() -> dict[str, tuple[Reader, tuple[type[Exception], ...]]]:
    """Return each reader, and the errors that it may raise."""
    from geopointseg.config import Config
    from geopointseg.errors import GeopointsegError
    from geopointseg.labels.layer_style import parse_style
    from geopointseg.legend import Legend
    from geopointseg.live.message import Request, read_line, write_line
    from geopointseg.markup import parse_json, parse_toml, parse_xml
    from geopointseg.model_document import read_model_document
    from geopointseg.raster.class_style import read_sidecar_legend
    from geopointseg.raster.expression import Expression
    from geopointseg.source_policy import require_local_sources

    own, value = (GeopointsegError,), (GeopointsegError, ValueError)

    def text(data: bytes) -> str:
        return data.decode("utf-8", "replace")

    def file(name: str, data: bytes) -> Path:
        path = FOLDER / name
        path.write_bytes(data)
        return path

    def protocol(data: bytes) -> object:
        found = read_line(data)
        return (
            write_line(found.identifier, {"error": str(found)})
            if isinstance(found, Request)
            else found
        )

    def sidecars(data: bytes) -> object:
        file("a.tif.aux.xml", data)
        file("a.qml", data)
        return read_sidecar_legend(FOLDER / "a.tif")

    return {
        "legend": (lambda data: Legend.from_json(parse_json(text(data))), value),
        "model": (lambda data: read_model_document(file("model.json", data)), value),
        "settings": (lambda data: Config.read(file("a.toml", data)), own),
        "toml": (lambda data: parse_toml(text(data)), value),
        "style": (lambda data: parse_style(text(data)), own),
        "sidecars": (sidecars, own),
        "markup": (lambda data: parse_xml(text(data)), value),
        "protocol": (protocol, ()),
        "formula": (lambda data: Expression.parse(text(data)), own),
        "sources": (lambda data: require_local_sources(file("a.vrt", data)), own),
    }


SAMPLES = {
    "legend": ['[{"code": 3, "name": "forest", "color": "#1b7837"}, {"code": 0, "name": "w", "color": "#000000"}]'],
    "model": [
        '{"format": "geopointseg model", "format_version": 1, "legend": [], "bands": ["red"], "normalization": {"mean": [0.0], '
        '"std": [1.0]}, "resolution_m": 1.5, "chip_size": 96, "members": [{"kind": "network", "weight": 1.0, "margin_px": 16, '
        '"architecture": {"encoder_depth": 4, "decoder_channels": [96, 48]}}, {"kind": "forest", "forest": {"scales": [1.0]}}]}'
    ],
    "settings": ['[loss]\ngamma = 2.0\n[scene]\nbands = ["red", "ndvi = (nir - red) / (nir + red)"]\n[prediction]\nwindow_px = 512'],
    "toml": ["a = [[1, 2.0], {b = 1979-05-27T07:32:00Z}]\n[[c]]\n'd.e' = '''x'''"],
    "style": [
        "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'><qgis><renderer-v2 type=\"categorizedSymbol\" attr=\"c\"><categories>"
        '<category value="1" label="a" symbol="0"><val value="2"/></category></categories><symbols><symbol name="0"><layer>'
        '<Option><Option name="color" value="1,2,3,255"/></Option><prop k="color" v="1,2,3"/></layer></symbol></symbols></renderer-v2></qgis>'
    ],
    "sidecars": [
        '<PAMDataset><PAMRasterBand band="1"><GDALRasterAttributeTable><FieldDefn index="0"><Usage>5</Usage></FieldDefn><FieldDefn>'
        "<Usage>2</Usage></FieldDefn><Row><F>1</F><F>a</F></Row></GDALRasterAttributeTable><CategoryNames><Category>b</Category>"
        "</CategoryNames></PAMRasterBand></PAMDataset>",
        '<qgis><pipe><rasterrenderer><colorPalette><paletteEntry value="1" color="#00ff00" label="a"/></colorPalette></rasterrenderer></pipe></qgis>',
    ],
    "markup": ["<?xml version='1.0'?><!-- c --><a b='&amp;&#65;'><![CDATA[x]]><c:d xmlns:c='u'/></a>"],
    "protocol": ['{"id": 1, "do": "add", "point": 1, "x": 1.5, "y": -2e3, "class": "a"}', '{"id": "a", "do": "quit"}'],
    "formula": ["(nir - red) / maximum(nir + red, 1e-6) ** 2", "-abs(b1)"],
    "sources": [
        '<VRTDataset rasterXSize="2" rasterYSize="2"><VRTRasterBand subClass="VRTDerivedRasterBand"><PixelFunctionType>mul'
        '</PixelFunctionType><SimpleSource><SourceFilename relativeToVRT="1">a.tif</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>',
        "<GDAL_WMS><ServerUrl>http://host</ServerUrl></GDAL_WMS>",
    ],
}  # fmt: skip


def inputs_of(name: str) -> list[bytes]:
    """Return the samples of a reader, and the inputs that earlier runs kept because they reached other code."""
    kept = json.loads(Path(__file__).with_name("fuzz_corpus.json").read_text(encoding="utf-8"))
    return [
        *(sample.encode() for sample in SAMPLES[name]),
        *map(base64.b64decode, kept.get(name, [])),
    ]


def check(name: str, reader: Reader, allowed: tuple[type[Exception], ...], data: bytes) -> None:
    """Read an input; print it if the reader raises what it must not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            reader(data)
        except allowed:
            return
        except BaseException:
            print(f"FINDING in {name}: {data[:2000]!r}", flush=True)
            raise


def mutate(rng: random.Random, data: bytes) -> bytes:
    """Return an input with some random changes."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        at, end = sorted(rng.randint(0, len(changed)) for _ in range(2))
        part = bytes(changed[at:end])
        changed[at:end] = rng.choice(
            [
                b"",
                part * 2,
                bytes([rng.randrange(256)]),
                part[::-1],
                rng.choice(_WORDS),
                part * rng.choice([1, 50]),
            ]
        )
    return bytes(changed[:200_000])


_WORDS = (
    b"null", b"NaN", b"1e999", b"-1", b"9" * 400, b"[" * 300, b"\0", b"\xff\xfe", b"]]>", b"<!ENTITY a 'b'>", b"&#0;", b"{}", b"\xed\xa0\x80",
    b"vrt://", b"true", b'"', b"/vsicurl/", b"(" * 300, b"+1" * 3000,
)  # fmt: skip


def fuzz_randomly(
    name: str,
    reader: Reader,
    allowed: tuple[type[Exception], ...],
    seconds: float,
    inputs: list[bytes],
) -> int:
    """Read random changes of inputs until the time is over; return their number."""
    rng, stop, count = random.Random(0), time.monotonic() + seconds, 0
    while time.monotonic() < stop:
        check(name, reader, allowed, mutate(rng, rng.choice(inputs)))
        count += 1
    return count


def main() -> None:
    """Fuzz one reader or all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reader", help="a reader, or 'all' (by random changes)")
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument(
        "--corpus", type=Path, help="folder with inputs of earlier runs; new ones are added"
    )
    parser.add_argument(
        "--random", action="store_true", help="random changes, also where atheris is installed"
    )
    options = parser.parse_args()
    atheris = None
    if options.reader != "all" and not options.random:
        with contextlib.suppress(ImportError):
            import atheris
    instrumented = (
        atheris.instrument_imports(include=["geopointseg", "json", "tomllib"])
        if atheris
        else contextlib.nullcontext()
    )
    with instrumented:
        readers = _readers()
    names = list(readers) if options.reader == "all" else [options.reader]
    for name in names:
        reader, allowed = readers[name]
        inputs = inputs_of(name)
        seconds = 60 * options.minutes / len(names)
        if atheris is None:
            print(
                f"{name}: {fuzz_randomly(name, reader, allowed, seconds, inputs)} inputs, no finding",
                flush=True,
            )
            continue
        corpus = (options.corpus or FOLDER / "corpus") / name
        corpus.mkdir(parents=True, exist_ok=True)
        for number, content in enumerate(inputs):
            (corpus / f"sample-{number}").write_bytes(content)
        arguments = [
            sys.argv[0],
            str(corpus),
            f"-max_total_time={seconds:.0f}",
            "-max_len=20000",
            "-rss_limit_mb=4000",
            "-timeout=30",
            f"-artifact_prefix={FOLDER}/",
        ]
        atheris.Setup(arguments, lambda data, r=reader, a=allowed, n=name: check(n, r, a, data))
        atheris.Fuzz()


if __name__ == "__main__":
    main()
