"""fidrace: this paper says its method trains diffusion models k times faster. Does it?

    import fidrace

    fidrace.load_method("clts[sigma=0.3]+mdlrc")      one training method, or several composed (a Composition,
                                                      which answers once `prepare(NoiseSchedule(abar))` was called)
    fidrace.define_study("controls", seeds="5")       task, methods and seeds, from a name or a TOML file (a Study)
    fidrace.load_study("results/local/digits")        a folder's tables as DataFrames, and .plot() (StudyTables)
    fidrace.speedup_of("digits", "min-snr")           one method's factor with its interval and verdict (a Speedup)

Wrong input raises InputError, tables without an answer NothingToConclude; the message is one line for a person. Nothing here
imports torch, and each name is imported when it is first used.
"""

from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fidrace.errors import InputError, NothingToConclude
    from fidrace.method.registry import load_method
    from fidrace.report.study_tables import load_study
    from fidrace.score.gate import speedup_of
    from fidrace.spec.study import define_study

    __version__: str

__all__ = ["InputError", "NothingToConclude", "__version__", "define_study", "load_method", "load_study", "speedup_of"]

_HOMES = {
    "InputError": "fidrace.errors",
    "NothingToConclude": "fidrace.errors",
    "define_study": "fidrace.spec.study",
    "load_method": "fidrace.method.registry",
    "load_study": "fidrace.report.study_tables",
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
