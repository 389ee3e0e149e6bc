"""Versions of libraries that are known to be unsafe or wrong for this package, for `doctor`."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Iterator
from dataclasses import dataclass

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion


@dataclass(frozen=True)
class KnownFault:
    """Versions of a library with a fault that concerns this package.

    Parameters
    ----------
    library
        Name of the distribution; ``GDAL`` for the libraries within rasterio, fiona and pyogrio.
    versions
        The faulty versions.
    fault
        What is wrong with them.
    source
        Where that is published.
    """

    library: str
    versions: str
    fault: str
    source: str

    def has(self, version: str) -> bool:
        """Whether a version is one of the faulty ones."""
        try:
            return SpecifierSet(self.versions, prereleases=True).contains(version)
        except InvalidVersion:
            return False


KNOWN_FAULTS = (
    KnownFault("torch", "<2.6", "a file of weights can run code although torch.load is told weights_only", "CVE-2025-32434"),
    KnownFault("GDAL", "==3.6.0", "spatial indexes of large GeoPackage layers can be corrupt", "retracted by its release 3.6.1"),
    KnownFault("pillow", "<10.0.1", "a WebP image can overflow a buffer", "CVE-2023-4863"),
    KnownFault("pillow", "<10.3", "a colour profile can overflow a buffer", "CVE-2024-28219"),
    KnownFault("pillow", ">=11.2,<11.3", "writing a DDS image can overflow a buffer", "CVE-2025-48379"),
    KnownFault("jinja2", "<3.1.6", "a template can leave its sandbox", "CVE-2025-27516"),
    KnownFault("lightning", "<2.3.3", "its web server writes files anywhere", "CVE-2024-5980"),
    KnownFault("onnx", "<1.16", "a model can name external data outside its folder", "CVE-2024-27318"),
    KnownFault("scikit-learn", "<1.5", "a fitted text vectorizer keeps words that it should not", "CVE-2024-5206"),
    KnownFault("zarr", ">=3.0.0,<3.0.8", "arrays can be deleted or read wrongly", "withdrawn by its authors; issues 2849 and 3061 of zarr-python"),
)  # fmt: skip
"""Only faults that are published and certain."""

_WITH_GDAL = {
    "rasterio": "__gdal_version__",
    "fiona": "__gdal_version__",
    "pyogrio": "__gdal_version_string__",
}


def find_faults() -> list[tuple[str, str]]:
    """Return each known fault of the installed versions as a sentence, and what to do."""
    found = []
    for known in KNOWN_FAULTS:
        versions = _gdal_versions() if known.library == "GDAL" else _version(known.library)
        for holder, version in versions:
            if known.has(version):
                text = f"{known.library} {version}: {known.fault} ({known.source})"
                found.append((text, f"Update it: pip install --upgrade {holder}"))
    return found


def _version(library: str) -> Iterator[tuple[str, str]]:
    try:
        yield library, importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return


def _gdal_versions() -> Iterator[tuple[str, str]]:
    for holder, attribute in _WITH_GDAL.items():
        try:
            yield holder, str(getattr(importlib.import_module(holder), attribute))
        except Exception:  # noqa: BLE001, S112 # nosec B112 - doctor reports a broken package elsewhere
            continue
