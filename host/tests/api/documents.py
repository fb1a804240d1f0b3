"""Checks OpenAPI documents: documents.py DIRECTORY, with an openapi.json in each directory below it."""

import json
import pathlib
import sys

from openapi_spec_validator import OpenAPIV31SpecValidator

for directory in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    document = json.loads((directory / "openapi.json").read_text())
    OpenAPIV31SpecValidator(document).validate()
    print(f"{directory.name}: valid")
