"""Roles of raster files: a band of a scene, or a quality layer, an index, a terrain model, a map ...

A role is read from words in the name of a file, a variable or a band, and from what the file declares: a class
legend, a colour table, flag meanings, one bit per pixel. Strong words are product codes (``SCL``, ``QA_PIXEL``).
Weak words (``mask``, ``cloud``, ``map``) also occur in names of places, so they count only where a file overlaps
other imagery.

References
----------
Names of files: Sentinel-2 Products Specification Document (S2-PDGS-TAS-DI-PSD); Landsat Collection 2 Level-2
Science Product Guide (LSDS-1619); HLS Product User Guide 2.0; Planet Imagery Product Specification; MODIS MOD09
and MOD13 user guides.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rasterio.io import DatasetReader

from geopointseg.bands.band_names import INDICES
from geopointseg.raster.class_map import LEGEND_TAG
from geopointseg.raster.class_style import read_sidecar_legend
from geopointseg.raster.raster_access import is_text

Role = Literal["", "band", "index", "elevation", "quality", "atmosphere", "angle", "picture", "map"]
"""What a file holds; empty where it is unknown."""

NAMES: dict[Role, str] = {
    "band": "band",
    "index": "index",
    "elevation": "terrain model",
    "quality": "quality layer or mask",
    "atmosphere": "layer of the atmospheric correction",
    "angle": "layer of angles",
    "picture": "picture for viewing",
    "map": "map of classes",
}
"""What messages call the roles."""

STACKABLE: frozenset[Role] = frozenset({"band", "index", "elevation"})
"""Roles of files that are bands of a scene: continuous values of the land surface."""

_ZENITH = "(?:solar|sun|sensor|view|viewing|satellite|relative|sat)_?(?:zenith|azimuth|angle)s?"
_STRONG: dict[Role, str] = {
    "quality": (
        r"[a-z]*qa\d{0,3}|qai|qc|vi_quality|quality|scl|fmask\d?|cfmask|msk|cldprb|snwprb|cldmsk|udm|udm2|detfoo|qualit|classi"
        r"|radsat|satqa|dqf|flags?|gflags|state_(?:1km|500m|qa)|reliability|obscov|num_observations|contiguity"
        r"|lineage|s2cloudless|cloudprob|cloudmask|cld|clm|clp|cs_cdf|cloud_?score|edg|mg2|iab|gap_mask|sr_aerosol|day_of_(?:the_)?year|dataset_?mask"
        r"|(?:sat|dfp)_r\d|level\d_[a-z\d]+_(?:hot|dst)|data_?mask|layover_?shadow_?mask|cloud_(?:mask|prob\w*|qa|cover)|scene_classification"
    ),
    "atmosphere": (
        r"aot|aod|atb|wvp|tcwv|atran|cdist|drad|emis|emsd|trad|urad|(?:atmos_)?opacity|water_?vapou?r|st_stdev"
    ),
    "angle": rf"{_ZENITH}|saa|sza|vaa|vza|raa|szen|vzen|s[oe][az]\d|incidence(?:_?angle)?|orbit_pnt|granule_pnt",
    "picture": r"tci|pvi|bwi|ql|qkl|ovv|quick_?look|thumb(?:nail)?s?|browse|preview",
    "map": (
        r"land_?cover|lulc|world_?cover|dynamic_?world|corine|clc\d*|nlcd|cdl|ground_?truth|classification"
        r"|classified|shrub_and_scrub"
    ),
    "index": (
        rf"{'|'.join(INDICES)}|evi2?|gndvi|bndvi|rndvi|msavi2?|osavi|arvi|ndsi|ndii|nbr2|dnbr|rbr|bsi|vari|gli|ngrdi"
        r"|nddi|ndti|ndci|mndvi|lai|fapar|fpar|fvc|fcover|mcari|cire|pssr|tndvi|ndwi2"
    ),
    "elevation": (
        r"dem|dsm|dtm|dgm\d*|ndsm|ndom|chm|dhm|mnt|mns|mdt|srtm|copdem|nasadem|gdem|elevation|altitude|hillshade|hgt"
    ),
}
_WEAK: dict[Role, str] = {
    "quality": (
        r"[^_\W]*masks?|maske|masque|clouds?|shadows?|snow|valid|validity|footprint|no_?data|usable|saturation|aerosol|counts?|nobs"
        r"|observations|doy|dates?|clear|confidence_?\d?|(?:light_|heavy_)?haze"
    ),
    "angle": r"zenith|azimuth|angles?|lia|vzn|raz",
    "picture": r"visual|overview|true_?colou?r|false_?colou?r",
    "map": (
        r"map|class|classes|cover|labels?|reference|truth|gt|predictions?|segmentation|probabilit(?:y|ies)|probs?"
        r"|uncertainty|entropy|confidence|land_?use|training_data|lc|annotations?"
    ),
    "elevation": (r"dom|mds|heights?|slope|aspect|relief|terrain|roughness|curvature|tpi|tri|twi"),
}
_COLORS = (
    r"coastal(?:_aerosol|_blue)?|ultra_blue|blue|green|yellow|orange|red_?edge_?\d?|red|re\d|nir_(?:narrow|broad|wide)"
    r"|(?:narrow|broad|wide)_nir|nir_?\d{0,2}|near_?infrared|infrared|near_ir|vnir|swir_?\d{0,2}"
    r"|mir_?\d?|tir_?\d?|tirs\d?|lwir\d*|thermal|cirrus|pan|panchromatic|violet|purple|gre|grn|blu|reg|ir"
    r"|rot|grün|gruen|blau|rouge|vert|bleu|pir|rojo|verde|azul"
)
_BAND = (
    rf"{_COLORS}|vv|vh|hh|hv|coherence|b6_vcid_[12]|(?:sr|ta|bt)?b\d{{1,3}}[abn]?|band_?\d{{1,3}}[abn]?|ch(?:annel)?_?\d{{1,3}}"
    r"|\d{3,4}_?nm|surf_?reflect_[im]\d{1,2}"
)
_LETTER = "[rgbn]"
_RESOLUTION = re.compile(r"r?\d+(?:km|m|cm)")
_NOISE = {"sr", "st", "toa", "boa", "bt", "refl", "reflectance", "surface", "rad", "radiance", "dn"}
FORMAT_WORDS = {"tif", "tiff", "cog", "jp2", "img", "vrt"}
"""Words in names for the format of a file."""

PICTURE_ENDINGS = {".png", ".jpg", ".jpeg"}
"""Endings of files that are pictures for viewing, unless they have a coordinate reference system."""

RASTER_ENDINGS = {
    ".tif",
    ".tiff",
    ".gtif",
    ".gtiff",
    ".vrt",
    ".jp2",
    ".img",
    ".bsq",
    ".bil",
    ".bip",
}
"""Endings of files that are rasters."""


@dataclass(frozen=True)
class Recognized:
    """The role that the words of a name indicate.

    Parameters
    ----------
    role
        The role; empty where no word indicates one.
    word
        The word or words that indicate it, in lower case and joined by underscores: ``b04``, ``qa_pixel``.
    strong
        Whether the word is a product code, which does not occur in names of places.
    rest
        The other words, without pixel sizes and levels of processing: equal for the bands of one scene.
    """

    role: Role = ""
    word: str = ""
    strong: bool = False
    rest: tuple[str, ...] = ()


def _compile(words: str) -> re.Pattern[str]:
    return re.compile(rf"(?<=_)(?:{words})(?=_)")


_PATTERNS_STRONG = {role: _compile(words) for role, words in _STRONG.items()}
_PATTERNS_WEAK = {role: _compile(words) for role, words in (_WEAK | {"band": _BAND}).items()}
_LAST_LETTER = re.compile(rf"(?<=_){_LETTER}_$")


def split_words(name: str) -> list[str]:
    """Return the words of a name, in lower case; capitals within a word begin a new one.

    Examples
    --------
    >>> split_words("site_RedEdge")
    ['site', 'red', 'edge']
    >>> split_words("T33UUT_20210601T101559-B02 10m")
    ['t33uut', '20210601t101559', 'b02', '10m']
    """
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", unicodedata.normalize("NFC", name))
    folded = spaced.casefold()
    return [word for word in re.split(r"[\W_]+", folded) if word]


def without_common_words(names: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return the words of each name that are not in all names; all words where nothing would remain of one.

    Examples
    --------
    >>> without_common_words([["blue", "lake", "red"], ["blue", "lake", "nir"]])
    [['red'], ['nir']]
    """
    if len(names) < 2:
        return [list(words) for words in names]
    common = set(names[0]).intersection(*names[1:])
    kept = [[word for word in words if word not in common] for words in names]
    return kept if all(kept) else [list(words) for words in names]


def recognize(words: Sequence[str], *, letters: bool = True) -> Recognized:
    """Return the role that the words of a name indicate.

    A product code counts at any position. Otherwise the last word with a role counts, so ``red_mask`` is a mask and
    ``cloud_lake_red`` a band.

    Parameters
    ----------
    words
        What `split_words` returns.
    letters
        Whether a single letter at the end is a band: ``ortho_r``.

    Examples
    --------
    >>> found = recognize(["t33uut", "20210601t101559", "b8a", "20m"])
    >>> found.role, found.word, found.rest
    ('band', 'b8a', ('t33uut', '20210601t101559'))
    >>> [recognize(split_words(n)).role for n in ("MSK_QUALIT_B02", "LC08_SR_QA_AEROSOL", "red_mask", "oak_hill")]
    ['quality', 'quality', 'quality', '']
    """
    text = f"_{'_'.join(words)}_"
    strong = _last(_PATTERNS_STRONG, text)
    found = strong or _last(_PATTERNS_WEAK, text)
    if found is None and letters and (letter := _LAST_LETTER.search(text)):
        found = "band", letter.start(), letter.end() - 1
    if found is None:
        return Recognized(rest=_rest(words))
    role, start, end = found
    rest = _rest(f"{text[:start]}{text[end:]}".strip("_").split("_"))
    return Recognized(role, text[start:end], strong is not None, rest)


def _last(patterns: Mapping[Role, re.Pattern[str]], text: str) -> tuple[Role, int, int] | None:
    """Return role, start and end of the last match; of several that end there, the longest."""
    found = [
        (match.end(), -match.start(), role)
        for role, pattern in patterns.items()
        for match in pattern.finditer(text)
    ]
    if not found:
        return None
    end, start, role = max(found)
    return role, -start, end


def _rest(words: Sequence[str]) -> tuple[str, ...]:
    dropped = _NOISE | FORMAT_WORDS | {""}
    return tuple(w for w in words if w not in dropped and not _RESOLUTION.fullmatch(w))


def is_pixel_size(word: str) -> bool:
    """Whether a word is a pixel size: ``10m``, ``R20m``."""
    return _RESOLUTION.fullmatch(word.casefold()) is not None


def declared_role(dataset: DatasetReader) -> Role:
    """Return the role that a file declares, whatever its name; empty where it declares none.

    Our own maps carry a legend, flags have meanings, and a mask has one bit per pixel.
    """
    if LEGEND_TAG in dataset.tags():
        return "map"
    if dataset.count != 1:
        return ""
    told = dataset.tags(1)
    has_flags = any(key in told for key in ("flag_meanings", "flag_masks", "flag_values"))
    one_bit = dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS") == "1"
    return "quality" if has_flags or one_bit else ""


def shows_classes(dataset: DatasetReader) -> bool:
    """Whether a file of one band has a colour table with colours, or a style or attribute table with classes."""
    if dataset.count != 1:
        return False
    try:
        table = dataset.colormap(1)
    except ValueError:
        table = {}
    if any(len({red, green, blue}) > 1 for red, green, blue, _ in table.values()):
        return True
    return not is_text(dataset.name) and read_sidecar_legend(Path(dataset.name)) is not None


def described_words(dataset: DatasetReader) -> list[str]:
    """Return the words of the descriptions of a file's bands, and of their long names."""
    told: list[str] = []
    for index in dataset.indexes:
        long_name = dataset.tags(index).get("long_name", "")
        told += [dataset.descriptions[index - 1] or "", long_name]
    return [word for text in told for word in split_words(text)]
