"""
The files of the Salt formula as Salt would read them: rendered by Jinja with what they ask of Salt, and read as YAML.

    render.py FOLDER < JSON        JSON: {"pillar": {…}, "grains": {…}}; writes JSON: the states of each file, by its name

FOLDER stands for salt://rulecast. Variables are the file's own, as in Salt: what imports a file without its context has none.
"""

import json
import sys
from pathlib import Path

import jinja2
import yaml

folder = Path(sys.argv[1])
given = json.load(sys.stdin)


def pillar_get(key, default, merge):
    assert merge
    return {**default, **given["pillar"].get(key, {})}


environment = jinja2.Environment(
    loader=jinja2.PrefixLoader({"rulecast": jinja2.FileSystemLoader(folder)}, delimiter="/"),
    undefined=jinja2.StrictUndefined,
    extensions=["jinja2.ext.do"],
)
variables = {"salt": {"pillar.get": pillar_get}, "grains": given["grains"]}
files = sorted(path.name for path in folder.iterdir() if path.suffix in (".sls", ".top"))
rendered = {name: environment.get_template(f"rulecast/{name}").render(variables) for name in files}
json.dump({name: yaml.safe_load(text) for name, text in rendered.items()}, sys.stdout)
