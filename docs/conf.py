"""Configuration of the documentation: `python -m sphinx -W --keep-going -b html docs build/docs`.

No network connection is needed. Pages are MyST Markdown. The gallery runs every script of `examples/gallery`.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import sys
import warnings
import weakref
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "_ext"))
os.environ.setdefault("OMP_NUM_THREADS", "2")

import geopointseg

logging.getLogger("pyogrio").setLevel(logging.WARNING)  # Sphinx shows messages of level INFO

project = "geopointseg"
author = "The geopointseg authors"
project_copyright = "The geopointseg authors, Apache-2.0"
version = release = geopointseg.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
    "sphinx_copybutton",
    "sphinx_design",
    "package_tables",
    "mathml_renderer",
]
exclude_patterns = ["_build"]
default_role = "code"
smartquotes = False  # options begin with two hyphens
nitpicky = True

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "attrs_inline"]
myst_heading_anchors = 3
suppress_warnings = ["config.cache"]  # functions in the settings of the gallery are not pickled

autosummary_generate = True
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80
nitpick_ignore_regex = [(r"py:(class|obj|exc|data)", r".*")]
"""Types in signatures belong to other projects or are private aliases; `:doc:` and `:ref:` are always checked."""

html_theme = "furo"
html_title = f"geopointseg {release}"
html_show_sourcelink = False
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_favicon = html_logo = "../qgis_plugin/icon.svg"
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#1b6e3c", "color-brand-content": "#1b6e3c"},
    "dark_css_variables": {"color-brand-primary": "#7fd3a0", "color-brand-content": "#7fd3a0"},
}
html_math_renderer = "mathml"
copybutton_prompt_text = "$ "
templates_path = ["_templates"]


SCRAPED: weakref.WeakSet[Any] = weakref.WeakSet()


def scrape_figures(
    _block: tuple[str, str, int], block_vars: dict[str, Any], gallery_conf: dict[str, Any]
) -> str:
    """Save the figures that the package's own draw functions returned, which pyplot does not know."""
    from matplotlib.figure import Figure
    from sphinx_gallery.scrapers import figure_rst

    images = []
    for value in list(block_vars["example_globals"].values()):
        if isinstance(value, Figure) and not hasattr(value, "number") and value not in SCRAPED:
            SCRAPED.add(value)
            path = next(block_vars["image_path_iterator"])
            value.savefig(path, dpi=110, bbox_inches="tight", facecolor="white")
            images.append(path)
    return figure_rst(images, gallery_conf["src_dir"])


def silence_warnings(_gallery_conf: dict[str, Any], _script: str) -> None:
    """Hide warnings in the output of scripts, because they show paths of the machine that builds the site."""
    warnings.simplefilter("ignore")


sphinx_gallery_conf = {
    "examples_dirs": "../examples/gallery",
    "gallery_dirs": "gallery",
    "filename_pattern": r"/plot_",
    "image_scrapers": ("matplotlib", scrape_figures),
    "abort_on_example_error": False,
    "show_memory": True,
    "remove_config_comments": True,
    "download_all_examples": False,
    "within_subsection_order": "FileNameSortKey",
    "min_reported_time": 0,
    "plot_gallery": os.environ.get("GEOPOINTSEG_GALLERY", "1") == "1",
    "reset_modules": (silence_warnings,),
    "capture_repr": (),
    "notebook_images": False,
}


def shorten_annotations(
    _app: Any,
    _what: str,
    _name: str,
    _obj: Any,
    _options: Any,
    signature: str | None,
    returned: str | None,
) -> tuple[str | None, str | None]:
    """Write array types in signatures as ``ndarray``."""

    def shorten(text: str | None) -> str | None:
        return text and re.sub(r"(~?numpy\.)?ndarray\[.*?dtype\[[^\]]*\]+", "ndarray", text)

    return shorten(signature), shorten(returned)


def copy_technical_report(app: Any) -> None:
    """Copy the technical report with its figures into the site, where links to folders become links to pages."""
    source = Path(app.srcdir).parent / "examples" / "technical_report"
    target = Path(app.srcdir) / "evidence" / "technical_report"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(".gitignore", "runs"))
    report = target / "report.md"
    text = re.sub(r"\]\((study_[a-z])\)", r"](\1/report.md)", report.read_text("utf-8"))
    report.write_text(text, "utf-8")


def setup(app: Any) -> None:
    """Connect the copying of the report and the shortening of annotations."""
    app.connect("builder-inited", copy_technical_report)
    app.connect("autodoc-process-signature", shorten_annotations)
