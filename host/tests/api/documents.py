"""Checks OpenAPI documents: documents.py DIRECTORY, with an openapi.json and an openapi.yaml in each directory below it."""

import json
import pathlib
import sys

import yaml
from openapi_spec_validator import OpenAPIV31SpecValidator

for directory in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    as_json = json.loads((directory / "openapi.json").read_text())
    as_yaml = yaml.safe_load((directory / "openapi.yaml").read_text())
    if as_json != as_yaml:
        sys.exit(f"{directory.name}: openapi.json and openapi.yaml differ")
    for document in (as_json, as_yaml):
        OpenAPIV31SpecValidator(document).validate()
    print(f"{directory.name}: valid")
