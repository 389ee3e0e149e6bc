"""Bands by name: find the bands of a model in a file, whatever their order there.

A band is identified by its description, by a common name (``red``, ``nir`` ...), by its colour interpretation or by
its wavelength. What is wanted may also be an index (``ndvi``) or any formula over bands, computed as the scene
is read.

References
----------
Common names and their wavelengths are those of the STAC electro-optical extension.
Rouse et al. (1974), NDVI. McFeeters (1996), NDWI, doi:10.1080/01431169608948714. Xu (2006), MNDWI,
doi:10.1080/01431160600589179. Huete (1988), SAVI, doi:10.1016/0034-4257(88)90106-X.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import NoReturn

from geopointseg.bands.sensor import numbered_bands
from geopointseg.errors import ConfigError, RasterError, nearest_names
from geopointseg.progress import Reporter
from geopointseg.raster.band import Band
from geopointseg.raster.expression import Expression
from geopointseg.raster.scene import Scene
from geopointseg.summary import join_names

WAVELENGTHS_UM: dict[str, tuple[float, float]] = {
    "coastal": (0.40, 0.45),
    "blue": (0.45, 0.53),
    "green": (0.51, 0.60),
    "yellow": (0.58, 0.62),
    "red": (0.62, 0.69),
    "rededge": (0.69, 0.79),
    "nir": (0.75, 1.00),
    "nir08": (0.75, 0.90),
    "nir09": (0.85, 1.05),
    "cirrus": (1.35, 1.40),
    "swir16": (1.55, 1.75),
    "swir22": (2.08, 2.35),
    "lwir": (10.5, 12.5),
    "lwir11": (10.5, 11.5),
    "lwir12": (11.5, 12.5),
}
"""Shortest and longest wavelength of the common names, in micrometres."""

_ALIASES = {
    "r": "red",
    "g": "green",
    "b": "blue",
    "n": "nir",
    "ir": "nir",
    "infrared": "nir",
    "near_infrared": "nir",
    "near_ir": "nir",
    "nir1": "nir",
    "nir_1": "nir",
    "red_edge": "rededge",
    "coastal_aerosol": "coastal",
    "coastal_blue": "coastal",
    "swir1": "swir16",
    "swir_1": "swir16",
    "swir2": "swir22",
    "swir_2": "swir22",
    "thermal": "lwir",
    "tir": "lwir",
}

INDICES: dict[str, str] = {
    "ndvi": "(nir - red) / (nir + red)",
    "ndwi": "(green - nir) / (green + nir)",
    "mndwi": "(green - swir16) / (green + swir16)",
    "ndmi": "(nir - swir16) / (nir + swir16)",
    "ndbi": "(swir16 - nir) / (swir16 + nir)",
    "nbr": "(nir - swir22) / (nir + swir22)",
    "ndre": "(nir - rededge) / (nir + rededge)",
    "savi": "1.5 * (nir - red) / (nir + red + 0.5)",
    "exg": "(2 * green - red - blue) / (red + green + blue)",
}
"""Well-known indices over common names; SAVI expects reflectances of 0..1."""

_PLACEHOLDER = re.compile(r"band_(\d+)")
_COLORED = re.compile(r"(band_\d+):(\w+)", re.IGNORECASE)
_WANTED_WAVELENGTH = re.compile(r"(\d+(?:\.\d+)?)_?(nm|um)")
_NEAREST_SHARE = 0.015


def resolve_bands(
    scene: Scene, wanted: Sequence[str], *, reporter: Reporter | None = None
) -> Scene:
    """Return a scene with the wanted bands, in the wanted order.

    Parameters
    ----------
    scene
        Any scene; a band chosen before is chosen from.
    wanted
        For each band a name, a common name, a number in the file (``"3"``, unless a band has it for its name), a wavelength (``"665nm"``), an index
        (``"ndvi"``), a formula (``"ratio = nir / red"``), or a number and a colour (``"band_3:blue"``): the band of
        that colour where a file without names declares colours, else that number. Empty takes the scene as it is.
    reporter
        Gets a message where bands without names are taken in their order.

    Returns
    -------
    Scene
        The same file with the wanted bands.

    Raises
    ------
    RasterError
        If a band is missing or ambiguous, or the file declares other colours than wanted; the message names it.
    ConfigError
        If a formula cannot be understood.
    """
    if not wanted:
        return scene
    reporter = reporter or Reporter()
    wanted = [name.strip() for name in wanted]
    chosen = _choose_by_color(scene, wanted)
    plain = {name: _without_color(scene, name) for name in wanted if name not in chosen}
    scene = _named_by_order(scene, list(dict.fromkeys(plain.values())), reporter)
    return scene.with_bands([chosen.get(name) or _choose(scene, plain[name]) for name in wanted])


def asked_names(wanted: Sequence[str]) -> list[str]:
    """Return the names of bands in what `resolve_bands` takes, those in formulas too, as `band_key` gives them.

    Numbers are no names, neither alone nor as ``band_3``.

    Examples
    --------
    >>> asked_names(["Red", "ratio = nir / b08", "3", "band_3:blue"])
    ['red', 'nir', 'b08']
    """
    names: list[str] = []
    for spec in wanted:
        formula = spec.partition("=")[2] or spec
        try:
            names += Expression.parse(formula).names if _is_formula(spec) else [spec]
        except ConfigError:  # for example a name with a parenthesis
            names.append(spec)
    keys = [band_key(name) for name in names if not _COLORED.fullmatch(name.strip())]
    return [key for key in dict.fromkeys(keys) if not key.isdigit() and not is_placeholder(key)]


def band_specs(scene: Scene) -> tuple[str, ...]:
    """Return what `resolve_bands` needs to find a scene's bands again in another scene.

    Names of bands, or numbers and colours, and formulas of computed ones that are no well-known index.

    Examples
    --------
    A model keeps ``("red", "nir", "ndvi", "ratio = nir / red")``, or ``("band_1:red", "band_2:green", "band_3")``.
    """
    named = zip(scene.bands, colored_names(scene), strict=True)
    return tuple(name if band.expression is None else _spec(band) for band, name in named)


def colored_names(scene: Scene) -> list[str]:
    """Return the names of a scene's bands, with the colour where a band has none and its colour is unique."""
    named = zip(scene.bands, declared_colors(scene), strict=True)
    return [f"{band_key(band.label)}:{color}" if color else band.label for band, color in named]


def declared_colors(scene: Scene) -> list[str]:
    """Return the unique colour of each band without a name; empty for all other bands."""
    colors = ["" if _is_named(band) else band.color for band in scene.bands]
    return [color if colors.count(color) == 1 else "" for color in colors]


def require_distinct_bands(scene: Scene) -> None:
    """Raise `RasterError` if `resolve_bands` could not find a scene's bands again by their `band_specs`."""
    specs = band_specs(scene)
    double = next((spec for spec in specs if specs.count(spec) > 1), None)
    if double is not None:
        raise RasterError(
            f"'{scene.name}' has {specs.count(double)} bands called '{double}', so a model of it could not distinguish them "
            "in prediction. Expected a name for each; rename the bands (gdal_edit, or band descriptions in QGIS) "
            "or leave them out."
        )


def common_name(band: Band) -> str:
    """Return the common name of a band, by its name, colour or wavelength; empty where none fits."""
    key = band_key(band.name)
    if key in WAVELENGTHS_UM or key in _ALIASES:
        return _ALIASES.get(key, key)
    if not band.name and band.color in WAVELENGTHS_UM:
        return band.color
    if band.wavelength_um is None:
        return ""
    for name, (shortest, longest) in WAVELENGTHS_UM.items():
        if shortest <= band.wavelength_um <= longest:
            return name
    return ""


def _named_by_order(scene: Scene, wanted: Sequence[str], reporter: Reporter) -> Scene:
    """Give the bands of a scene the wanted names where only their order identifies them."""
    nameless = not any(
        common_name(b) or (b.name and not is_placeholder(b.name)) for b in scene.bands
    )
    bands = [name for name in wanted if not _is_computed(scene, name) and not name.isdigit()]
    if nameless:
        bands = _with_stored_indices(scene, wanted) or bands
    placeholders = bool(bands) and all(is_placeholder(name) for name in bands)
    known = {band_key(band.label) for band in scene.bands}
    if placeholders and known.issuperset(bands):
        return scene
    if not bands or not (nameless or placeholders) or len(bands) != len(scene.bands):
        numbered = {band.index: band for band in scene.bands}
        if placeholders and not nameless and numbered.keys() >= set(map(_number, bands)):
            reporter.log(
                f"'{scene.name}': bands are taken by their number, because the model has no band names."
            )
            return scene.with_bands([replace(numbered[_number(b)], name=b) for b in bands])
        return scene
    reporter.log(
        f"'{scene.name}': bands are taken in their order ({', '.join(scene.band_names)}) as {', '.join(bands)}, "
        f"because {'the file has no band names' if nameless else 'the model has no band names'}."
    )
    return scene.with_bands(
        [replace(band, name=name.lower()) for band, name in zip(scene.bands, bands, strict=True)]
    )


def _with_stored_indices(scene: Scene, wanted: Sequence[str]) -> list[str]:
    """Return what is wanted with the indices taken for bands of the file, where it has just as many; else nothing.

    A model does not record whether its ``ndvi`` was computed or stored in a file, and a file without names does not
    record what it stores. Their numbers of bands decide.
    """
    stored = [name for name in wanted if not _is_formula(name) and not name.isdigit()]
    return stored if len(stored) == len(scene.bands) else []


def _choose_by_color(scene: Scene, wanted: Sequence[str]) -> dict[str, Band]:
    """Return the bands of the wanted colours, by wanted name; none where the file does not declare these colours.

    Names that mean the wanted colours count as them. Other colours that only one side declares are ignored; colours that contradict
    each other are an error.
    """
    found = {name: _COLORED.fullmatch(name) for name in wanted if name not in scene.band_names}
    asked = {name: (match[1], match[2].lower()) for name, match in found.items() if match}
    by_name = _named_in_color(scene, wanted, asked)
    if by_name:
        return by_name
    colors = declared_colors(scene)
    told = {color: band for band, color in zip(scene.bands, colors, strict=True) if color}
    if any(color not in told for _, color in asked.values()):
        here = {band_key(b.label): color for b, color in zip(scene.bands, colors, strict=True)}
        if any(
            here.get(band_key(number)) not in {color, "", None} for number, color in asked.values()
        ):
            _refuse_colors(scene, wanted)
        return {}
    owners = {band_key(told[color].label): band_key(number) for number, color in asked.values()}
    if any(owners.get(band_key(name), band_key(name)) != band_key(name) for name in wanted):
        _refuse_colors(scene, wanted)
    return {name: told[color] for name, (_, color) in asked.items()}


def _named_in_color(
    scene: Scene, wanted: Sequence[str], asked: dict[str, tuple[str, str]]
) -> dict[str, Band]:
    """Return the bands whose names mean the wanted colours, by wanted name; none where only the order can tell.

    Parameters
    ----------
    scene
        The scene; some of its bands may have names.
    wanted
        All wanted names.
    asked
        Number and colour of those with a colour, such as ``band_1:red``.
    """
    found = {}
    for name, (_, color) in asked.items():
        with suppress(RasterError):  # two bands of that name
            band = _find(scene, color)
            if band is not None and _is_named(band):
                found[name] = band
    colors = {color for _, color in asked.values()}
    taken = {band.index for band in found.values()}
    rest = [_number(name) for name in wanted if name not in asked and is_placeholder(name)]
    if len(found) == len(asked) and not taken.intersection(rest):
        return found
    for number, color in asked.values():
        here = next((b for b in scene.bands if b.index == _number(number) and _is_named(b)), None)
        if here is not None and common_name(here) in colors - {color}:
            _refuse_colors(scene, wanted)
    return {}


def _refuse_colors(scene: Scene, wanted: Sequence[str]) -> NoReturn:
    raise RasterError(
        f"The colours of the bands of '{scene.name}' ({', '.join(colored_names(scene)[:12])}) are not those wanted "
        f"({', '.join(wanted[:12])}). Expected the same colours, in any order; correct the "
        "colours that the file declares (gdal_edit -colorinterp_1 red ...), or the names of its bands."
    )


def color_of(name: str) -> str:
    """Return the colour of a band that a model knows by number and colour, as ``band_1:red``; else an empty text."""
    found = _COLORED.fullmatch(name)
    return found[2].lower() if found else ""


def _without_color(scene: Scene, name: str) -> str:
    found = None if name in scene.band_names else _COLORED.fullmatch(name)
    return found[1] if found else name


def _is_named(band: Band) -> bool:
    return band.expression is not None or bool(band.name and not is_placeholder(band.name))


def _number(placeholder: str) -> int:
    found = _PLACEHOLDER.fullmatch(band_key(placeholder))
    return int(found[1]) if found else 0


def _choose(scene: Scene, name: str) -> Band:
    """Return the band of a scene, or the computed one, that a wanted name means.

    A band of just that name comes first: names may be digits, or look like formulas.
    """
    exact = [band for band in scene.bands if band.name.strip() == name]
    if len(exact) == 1:
        return exact[0]
    label, equals, formula = name.partition("=")
    if equals:
        return _compute(scene, label.strip().lower(), formula)
    if name.isdigit():
        return _by_number(scene, int(name))
    found = _find(scene, name)
    if found is not None:
        return found
    if name.lower() in INDICES:
        return _compute(scene, name.lower(), INDICES[name.lower()])
    if _is_formula(name):
        return _compute(scene, name.lower(), name)
    raise RasterError(
        f"'{scene.name}' has no band '{name}'. It has {_listed(scene)}. "
        f"{nearest_names(name, scene.band_names) if scene.bands else ''} Name the file's bands (gdal_edit, "
        "or band descriptions in QGIS), or use a raster that has it."
    )


def _by_number(scene: Scene, index: int) -> Band:
    for band in scene.bands:
        if band.index == index:
            return band
    raise RasterError(
        f"'{scene.name}' has no band number {index}. It has {_listed(scene)}; choose among these."
    )


def _find(scene: Scene, name: str) -> Band | None:
    key = band_key(name)
    alias = _ALIASES.get(key, key)
    for matches in (
        [b for b in scene.bands if key in {band_key(b.label), band_key(b.name)}],
        [b for b in scene.bands if _ALIASES.get(band_key(b.name), band_key(b.name)) == alias],
        [b for b in scene.bands if not b.name and b.color == alias],
        _by_wavelength(scene, alias),
        _by_number_of_sensor(scene, alias),
    ):
        if len(matches) > 1:
            raise RasterError(
                f"'{scene.name}' has {len(matches)} bands that '{name}' may mean (bands "
                f"{', '.join(str(b.index) for b in matches)}). Expected one; choose it by its number."
            )
        if matches:
            return matches[0]
    return None


def _by_wavelength(scene: Scene, name: str) -> list[Band]:
    """Return the band nearest to the middle of a common name's range, or to a wavelength."""
    told = [(b, b.wavelength_um) for b in scene.bands if b.wavelength_um is not None]
    found = _WANTED_WAVELENGTH.fullmatch(name)
    if found:
        wanted = float(found[1]) / (1000 if found[2] == "nm" else 1)
        low, high = wanted * (1 - _NEAREST_SHARE), wanted * (1 + _NEAREST_SHARE)
    elif name in WAVELENGTHS_UM:
        low, high = WAVELENGTHS_UM[name]
    else:
        return []
    inside = [(abs(w - (low + high) / 2), k) for k, (_, w) in enumerate(told) if low <= w <= high]
    return [told[min(inside)[1]][0]] if inside else []


def _by_number_of_sensor(scene: Scene, name: str) -> list[Band]:
    """Return the band that a common name means where the satellite that numbered the bands is known."""
    named = {band_key(band.name): band for band in scene.bands if band.name}
    numbers = numbered_bands(scene.name, list(named)).get(name, ())
    return [named[number] for number in numbers if number in named][:1]


def _compute(scene: Scene, name: str, formula: str) -> Band:
    expression = Expression.parse(formula)
    inputs = []
    for needed in expression.names:
        band = _find(scene, needed)
        if band is None or band.expression is not None:
            raise RasterError(
                f"'{scene.name}' has no band '{needed}', which '{name}' needs ({expression.text}). "
                f"It has {_listed(scene)}."
            )
        inputs.append(replace(band, curve=None))
    return Band(0, name, expression=expression, inputs=tuple(inputs))


def _is_computed(scene: Scene, name: str) -> bool:
    if "=" in name:
        return True
    known = any(band_key(name) == band_key(band.label) for band in scene.bands)
    return not known and (name.lower() in INDICES or _is_formula(name))


def _is_formula(name: str) -> bool:
    return re.search(r"[-+*/(=]", name) is not None


def _spec(band: Band) -> str:
    if band.expression is None:
        return band.label
    if band.name in {band.expression.text, band.expression.text.lower()}:
        return band.expression.text
    if INDICES.get(band.name) == band.expression.text:
        return band.name
    return f"{band.name} = {band.expression.text}"


def is_placeholder(name: str) -> bool:
    """Whether a name only counts bands: ``band_3``."""
    return _PLACEHOLDER.fullmatch(band_key(name)) is not None


def band_key(name: str) -> str:
    """Return a name as names are compared: in lower case, with underscores for all but letters and digits of any script."""
    return re.sub(r"[^\w.]+", "_", unicodedata.normalize("NFKC", name).lower()).strip("_")


def _listed(scene: Scene) -> str:
    return f"{len(scene.bands)} bands: {join_names(scene.band_names, 12)}"
