"""The registry of methods, and how a name such as `clts[sigma=0.3]+mdlrc` is resolved.

Methods are subclasses of Method. They are found in the files of `fidrace.methods`, in the folders of --methods-path, and in
the entry point group `fidrace.methods` of installed packages (a class, or a module that holds some).
"""

import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
import tokenize
import typing
from collections.abc import Iterable, Iterator
from contextlib import redirect_stdout
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from fidrace.errors import InputError, nearest
from fidrace.method.base import Axis, Evidence, Limits, Method
from fidrace.method.baseline import Baseline
from fidrace.method.composition import Composition
from fidrace.packaged import packaged_folder

ENTRY_POINTS = "fidrace.methods"
PACKAGED = "fidrace.methods."
NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]*")
PART = re.compile(r"([^+\[\]]+)(?:\[([^\[\]]*)\])?(?:\+|$)")


class Registry:
    """The methods of fidrace, of installed packages, and of the folders `paths`. Raises InputError for a folder, file or
    entry point that cannot be used."""

    def __init__(self, paths: Iterable[str | Path] = ()):
        paths = list(paths)
        if "" in paths:
            raise InputError("--methods-path is empty: write . for this folder")
        self.methods: dict[str, type[Method]] = {}
        self.add(Baseline)
        for method in installed_methods():
            self.add(method)
        for folder in (packaged_folder("methods"), *map(Path, paths)):
            if not folder.is_dir():
                raise InputError(f"--methods-path {folder}: no such folder")
            for file in sorted(folder.glob("[!_]*.py")):
                for method in methods_in(load_module(file)):
                    self.add(method)

    def add(self, method: type[Method]) -> None:
        """Register `method`; raises InputError if its name is taken or it is ill-defined (our own are checked by the tests)."""
        if not method.__module__.startswith(PACKAGED):
            check_definition(method)
        if method.name in self.methods:
            files = (inspect.getfile(known) for known in (self.methods[method.name], method))
            raise InputError(f"method {method.name!r} is defined twice: {' and '.join(files)}")
        self.methods[method.name] = method

    def compose(self, text: str) -> Composition:
        """The method or composition that `text` names. Raises InputError with the fault and the nearest choice."""
        parts, end = [], 0
        for match in PART.finditer(text):
            if match.start() != end:
                break
            end = match.end()
            parts.append(self._method(*match.groups()))
        if not parts or end != len(text) or text.endswith("+"):
            raise InputError(f"cannot read method {text!r}: write name, name[param=value,...] or a+b")
        return Composition(parts)

    def _method(self, name: str, arguments: str | None) -> Method:
        if name not in self.methods:
            raise InputError(f"unknown method {name!r}{nearest(name, self.methods)} (`fidrace methods` lists all)")
        method = self.methods[name]
        given: dict[str, Any] = {}
        for argument in arguments.split(",") if arguments is not None else ():
            key, equals, value = (text.strip() for text in argument.partition("="))
            if not equals:
                raise InputError(f"method {name!r}: cannot read {argument!r}, write param=value")
            if key not in method.parameters():
                takes = nearest(key, method.parameters()) if method.parameters() else "; it has none"
                raise InputError(f"method {name!r} has no parameter {key!r}{takes}")
            if key in given:
                raise InputError(f"method {name!r}: parameter {key!r} is given twice")
            given[key] = parse_parameter(method, key, value)
        return method(**given)


def load_method(text: str, methods_path: Iterable[str | Path] = ()) -> Composition:
    """The method or composition that `text` names, as in `clts[sigma=0.3]+mdlrc`; `methods_path`: folders with your own method
    files. Raises InputError."""
    return Registry(methods_path).compose(text)


def check_definition(method: type[Method]) -> None:
    """Raise InputError unless the name, evidence and parameters of `method` can stand in tables and folder names."""
    where = f"{inspect.getfile(method)}: method {method.name!r}"
    if not isinstance(method.name, str) or not NAME.fullmatch(method.name):
        raise InputError(f"{where}: a name has letters, digits, '.', '_' and '-' only, and begins with a letter")
    if method.evidence not in typing.get_args(Evidence):
        raise InputError(f"{where}: evidence {method.evidence!r}{nearest(str(method.evidence), typing.get_args(Evidence))}")
    if method.axis not in typing.get_args(Axis):
        raise InputError(f"{where}: axis {method.axis!r}{nearest(str(method.axis), typing.get_args(Axis))}")
    keeps, taps = vars(method).get("keeps_noise", True), vars(method).get("taps", ())
    if not isinstance(keeps, bool) or not isinstance(taps, tuple | list):
        raise InputError(f"{where}: keeps_noise is True or False, and taps is a tuple of places")
    if not isinstance(method.source, str) or not isinstance(method.claim, str):
        raise InputError(f"{where}: source and claim must be strings")
    try:
        kinds = typing.get_type_hints(method)
    except Exception as error:
        raise InputError(f"{where}: {error}") from error
    for key, field in method.parameters().items():
        choices = typing.get_args(kinds[key])
        named = typing.get_origin(kinds[key]) is Literal and all(isinstance(choice, str) for choice in choices)
        if "limits" not in field.metadata or not (kinds[key] in (int, float) or named):
            raise InputError(f"{where}: parameter {key!r} is no int, float or Literal of strings, made by param()")
    try:
        method().aspects()
    except Exception as error:
        raise InputError(f"{where}: {type(error).__name__}: {error}") from error


def parse_parameter(method: type[Method], key: str, text: str) -> Any:
    """Parse `text` as the value of parameter `key`; raises InputError unless it has the right type and is within the limits."""
    kind = typing.get_type_hints(method)[key]
    limits: Limits = method.parameters()[key].metadata["limits"]
    where = f"method {method.name!r}: {key}={text}"
    choices = typing.get_args(kind)  # of a Literal
    if choices:
        if text not in choices:
            raise InputError(f"{where} is not one of its choices{nearest(text, choices)}")
        return text
    try:
        value = kind(text)
    except ValueError:
        raise InputError(f"{where} is not {'a whole number' if kind is int else 'a number'}") from None
    if not limits.allow(value):
        raise InputError(f"{where} is outside {limits}")
    return value


def installed_methods() -> Iterator[type[Method]]:
    """The methods that installed packages offer through entry points."""
    for entry in entry_points(group=ENTRY_POINTS):
        where = f"entry point {entry.name!r} of {entry.dist.name if entry.dist else 'a package'}: {entry.value}"
        try:
            with redirect_stdout(sys.stderr):  # stdout is the command's
                value = entry.load()
        except (Exception, SystemExit) as error:
            raise InputError(f"{where}: {type(error).__name__}: {error}") from error
        methods = methods_in(value) if inspect.ismodule(value) else [value]
        if not methods or not all(inspect.isclass(method) and issubclass(method, Method) for method in methods):
            raise InputError(f"{where} is neither a Method nor a module that defines one")
        yield from methods


def load_module(file: Path) -> ModuleType:
    """Import `file`: a file of fidrace.methods under its own name, any other under a name derived from its path."""
    if file.parent == packaged_folder("methods"):
        return importlib.import_module(f"fidrace.methods.{file.stem}")
    name = f"fidrace_method_{hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:16]}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            with redirect_stdout(sys.stderr):
                spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:
            del sys.modules[name]
            raise InputError(f"{file}: {type(error).__name__}: {error}") from error
    return sys.modules[name]


def methods_in(module: ModuleType) -> list[type[Method]]:
    """The Method subclasses defined in `module`, not those it imports."""
    members = [value for value in vars(module).values() if inspect.isclass(value)]
    return [cls for cls in members if issubclass(cls, Method) and cls is not Method and cls.__module__ == module.__name__]


def content_hash(composition: Composition) -> str:
    """SHA-256 of each part's name, parameters and code, and of the code of the methods it builds on.

    Comments, docstrings, layout and imports do not count: a method whose code has changed since its runs is noticed, one
    whose comments have is not.
    """
    digest = hashlib.sha256()
    for part in composition.parts:
        parameters = {key: getattr(part, key) for key in part.parameters()}
        code = "".join(code_of(Path(inspect.getfile(module))) for module in modules_behind(sys.modules[type(part).__module__]))
        digest.update(repr((part.name, parameters, code)).encode())
    return digest.hexdigest()


def modules_behind(module: ModuleType) -> list[ModuleType]:
    """The module of a method, and the modules of its package that define its functions and classes, except the interface."""
    package = module.__name__.partition(".")[0]
    prefixes = (PACKAGED, *([f"{package}."] if package != "fidrace" else []))
    origins = {getattr(value, "__module__", None) or "" for value in vars(module).values()}
    others = sorted(name for name in origins - {module.__name__} if name.startswith(prefixes))
    return [module, *(sys.modules[name] for name in others)]


def code_of(file: Path) -> str:
    """The tokens of a Python file without imports, comments, blank lines and docstrings (strings that are whole statements)."""
    layout = {tokenize.NEWLINE: ";", tokenize.INDENT: "{", tokenize.DEDENT: "}"}
    code: list[str] = []
    at_start, importing = True, False
    with tokenize.open(file) as source:
        for token in tokenize.generate_tokens(source.readline):
            if token.type in (tokenize.COMMENT, tokenize.NL, tokenize.ENDMARKER):
                continue
            importing = importing or (at_start and token.string in ("import", "from"))
            docstring = token.type == tokenize.STRING and at_start
            ends_nothing = token.type == tokenize.NEWLINE and (at_start or importing)  # ends a line that is left out
            if not docstring and not ends_nothing and not importing:
                code.append(layout.get(token.type, token.string))
            ends = token.type == tokenize.NEWLINE or token.string == ";"
            at_start = token.type in layout or docstring or (importing and ends)
            importing = importing and not ends
    return " ".join(code)
