"""Load every adapter saved in a folder, as a fresh process does, and write what each one says.

    python load_adapters.py FOLDER

FOLDER holds FAMILY/base, FAMILY/ADAPTER and ids.pt; logits.pt is written beside them.
"""

import sys
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

import training_worker.tuners  # noqa: F401  PEFT knows our methods from here on

folder = Path(sys.argv[1])
IDS_BL = torch.load(folder / "ids.pt")
said = {}
for adapter in sorted(folder.glob("*/*/adapter_config.json")):
    base = AutoModelForCausalLM.from_pretrained(adapter.parent.parent / "base")
    model = PeftModel.from_pretrained(base.eval(), adapter.parent).eval()
    with torch.no_grad():
        said[f"{adapter.parent.parent.name}/{adapter.parent.name}"] = model(input_ids=IDS_BL).logits
torch.save(said, folder / "logits.pt")
