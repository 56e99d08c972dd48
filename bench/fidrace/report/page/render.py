"""From charts, tables and files to one HTML file, which needs no network.

Its Content-Security-Policy allows only the scripts of this file, by their hashes, and no request to any host.
"""

import base64
import gzip
import hashlib
import json
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from fidrace.report.page.charts import Figure
from fidrace.report.style import ON_DARK


def render(
    template: str,
    charts: dict[str, dict[str, Figure]],
    files: dict[str, str],
    film: dict[str, Any] | None = None,
    **context: Any,
) -> str:
    """The page of a template: `charts` by name, each with its variants by name; `files` to download, by name; the `film` of
    samples; and what else the template shows."""
    own = environment()
    scripts = [get_plotlyjs(), read_source(own, "common.js"), read_source(own, "page.js")]
    return own.get_template(template).render(
        **context,
        charts=charts,
        files=[*files],
        version=version("fidrace"),
        data=pack({"charts": charts, "film": film, "files": files, "on_dark": ON_DARK}),
        **content_security(own, scripts),
    )


def environment() -> Environment:
    """The templates of the pages."""
    return Environment(
        loader=PackageLoader("fidrace.report", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def content_security(environment: Environment, scripts: Sequence[str]) -> dict[str, Any]:
    """What base.html takes of the style and of `scripts`: these alone, by their hashes, may run. Both are ours."""
    return {
        "css": Markup(read_source(environment, "page.css")),
        "scripts": [Markup(script) for script in scripts],
        "hashes": " ".join(f"'sha256-{digest(script)}'" for script in scripts),
    }


def read_source(environment: Environment, name: str) -> str:
    assert environment.loader
    return environment.loader.get_source(environment, name)[0]


def pack(data: dict[str, Any]) -> str:
    """`data` as JSON, gzip and base64: several times smaller than JSON, and free of anything that could end a script tag."""
    return base64.b64encode(gzip.compress(json.dumps(data, allow_nan=False).encode(), 6, mtime=0)).decode()


def digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
