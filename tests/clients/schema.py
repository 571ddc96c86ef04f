"""Checks JSON on the standard input against a schema: schema.py FILE"""

import json
import sys

import jsonschema

with open(sys.argv[1]) as file:
    jsonschema.validate(json.load(sys.stdin), json.load(file))
