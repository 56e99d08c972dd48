"""Command lines as templates: `python train.py --out {out} --seed {seed}`. A field that stands alone may become several words.

No shell reads them: the template is split into words first, and a value with blanks stays one word. With `shell` it is one line
for a shell, and every value in it is quoted.
"""

import re
import shlex
from collections.abc import Collection, Mapping

from fidrace.errors import InputError, nearest

FIELD = re.compile(r"(?<!\$)\{(\w+)\}")  # not ${HOME}, which is a shell's
WORDS = ("arguments",)  # fields whose value is several words


def fields_of(template: str) -> list[str]:
    return FIELD.findall(template)


def check_template(where: str, template: str, known: Collection[str]) -> None:
    """Raise InputError for a template that cannot be split into words, or has a field that is not known."""
    for name in fields_of(template):
        if name not in known:
            raise InputError(f"{where}: unknown field {{{name}}}{nearest(name, known)}")
    try:
        words = shlex.split(template)
    except ValueError as error:
        raise InputError(f"{where}: {str(error).lower()}") from None
    if not words:
        raise InputError(f"{where}: no command")


def fill(text: str, values: Mapping[str, object]) -> str:
    """`text` with the fields of `values` in it; braces of other words stay, as in a regular expression."""
    return FIELD.sub(lambda found: str(values[found[1]]) if found[1] in values else found[0], text)


def command_words(template: str, values: Mapping[str, object], shell: bool = False) -> list[str]:
    """The words of the command that `template` and `values` give."""
    values = {**values, **{name: fill(str(values[name]), values) for name in WORDS if name in values}}
    if shell:
        quoted = {name: value if name in WORDS else shlex.quote(str(value)) for name, value in values.items()}
        return ["sh", "-c", fill(template, quoted)]
    words = []
    for word in shlex.split(template):
        name = FIELD.fullmatch(word)
        if name and name[1] in WORDS:
            words += shlex.split(str(values[name[1]]))
        else:
            words.append(fill(word, values))
    return words
