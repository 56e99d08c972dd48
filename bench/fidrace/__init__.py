"""fidrace: this paper says its method trains diffusion models k times faster. Does it?

    import fidrace

    fidrace.load_method("clts[sigma=0.3]+mdlrc")      one training method, or several composed (a Composition,
                                                      which answers once `prepare(NoiseSchedule(abar))` was called)
    fidrace.load_study("controls", seeds="5")         task, methods and seeds, from a name or a TOML file (a Study)
    fidrace.score_folder("results/local/digits")      the tables of a folder: speedups, leaderboard, guards (Scores)
    fidrace.speedup_of("digits", "min-snr")           one method's factor with its interval and verdict (a Speedup)

Wrong input raises InputError, tables without an answer NothingToConclude; the message is one line for a person. Nothing here
imports torch, and each name is imported when it is first used.
"""

from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fidrace.errors import InputError, NothingToConclude
    from fidrace.method.registry import load_method
    from fidrace.score.gate import speedup_of
    from fidrace.score.leaderboard import score_folder
    from fidrace.spec.study import load_study

    __version__: str

__all__ = ["InputError", "NothingToConclude", "__version__", "load_method", "load_study", "score_folder", "speedup_of"]

_HOMES = {
    "InputError": "fidrace.errors",
    "NothingToConclude": "fidrace.errors",
    "load_method": "fidrace.method.registry",
    "load_study": "fidrace.spec.study",
    "score_folder": "fidrace.score.leaderboard",
    "speedup_of": "fidrace.score.gate",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return metadata.version("fidrace")
    if name not in _HOMES:
        raise AttributeError(f"module 'fidrace' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
