"""A recommendation as a file for the trainer that somebody uses: the table of formats.

A format is one file here with one entry. `data/` holds the names that each tool reads, as plain
facts with the tool's version.
"""

from collections.abc import Mapping

from service.exporters import axolotl, llama_factory, openai, peft, torchtune, trl, unsloth
from service.exporters.spec import Exporter

EXPORTERS: Mapping[str, Exporter] = {
    module.EXPORTER.name: module.EXPORTER
    for module in (peft, trl, axolotl, llama_factory, torchtune, unsloth, openai)
}
