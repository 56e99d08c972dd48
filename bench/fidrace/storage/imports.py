"""imported.json, the manifest of a folder of imported runs: how each was read, and what was declared of it."""

from pathlib import Path

import pydantic
from pydantic import Field

from fidrace.errors import InputError
from fidrace.spec.user_input import Model, validate
from fidrace.storage.atomic import read_record, write_json

IMPORTED = "imported.json"
SCHEMA = 1


class Source(Model):
    """A file that was read."""

    name: str
    sha256: str


class ImportedRun(Model):
    """One run: the reader, the files that it read, what was declared of it, remarks, the SHA-256 of all that tables say of it
    (`content`), and when it was imported."""

    method: str
    seed: str
    reader: str
    files: list[Source]
    facts: dict[str, str]
    remarks: list[str]
    evaluations: int
    content: str
    imported: str

    @property
    def key(self) -> tuple[str, str]:
        return self.method, self.seed


class Imports(Model):
    """The content of imported.json. `allow`: facts in which the runs may differ."""

    model_config = pydantic.ConfigDict(validate_by_name=True, validate_by_alias=True)

    schema_version: int = Field(default=SCHEMA, alias="schema")
    allow: list[str] = Field(default=[])
    runs: list[ImportedRun] = Field(default=[])

    def write(self, folder: Path) -> None:
        write_json(folder / IMPORTED, self.model_dump(by_alias=True))


def read_imports(folder: Path) -> Imports:
    """The folder's imported.json; an empty one if there is none. Raises InputError if it cannot be read."""
    path = folder / IMPORTED
    if not path.exists():
        return Imports()
    content = read_record(path, "restore it, or import into another folder")
    if content.get("schema") != SCHEMA:
        raise InputError(f"{path}: schema {content.get('schema')}, this fidrace reads {SCHEMA}")
    return validate(Imports, content, str(path))
