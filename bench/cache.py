"""Where what was downloaded or computed once is kept: weights, data sets, images brought to size, reference statistics."""

import os
from pathlib import Path


def cache(*parts: str) -> Path:
    """A path below the cache: $FIDRACE_CACHE, else fidrace in $XDG_CACHE_HOME, else ~/.cache/fidrace. Nothing is made."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("FIDRACE_CACHE") or Path(home, "fidrace")).expanduser().absolute().joinpath(*parts)
