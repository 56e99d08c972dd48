"""The methods that race, one short file each. In a checkout the files are in `methods/`, at its top level."""

from contextlib import suppress

from fidrace.errors import InputError
from fidrace.packaged import packaged_folder

with suppress(InputError):  # if the folder is missing, the registry says so
    __path__ = [str(packaged_folder("methods"))]
