"""Load every adapter saved in a folder, as a fresh process does, and write what each one says.

    python reload_adapters.py FOLDER

FOLDER holds bases/FAMILY, adapters/FAMILY--METHOD and ids.pt; logits.pt is written beside them.
"""

import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from training_worker.adapter import load_adapter
from training_worker.data import Batch
from training_worker.scoring import target_logits

folder = Path(sys.argv[1])
IDS_BL = torch.load(folder / "ids.pt")
batch = Batch(IDS_BL, torch.ones_like(IDS_BL), IDS_BL, targets=1, tokens=IDS_BL.numel())
said = {}
for adapter in sorted((folder / "adapters").iterdir()):
    family = adapter.name.partition("--")[0]
    model = AutoModelForCausalLM.from_pretrained(folder / "bases" / family)
    try:
        loaded = load_adapter(model.requires_grad_(False).eval(), adapter)
        with torch.no_grad():
            said[adapter.name] = target_logits(loaded.eval(), batch)[0]
    except Exception as error:  # told to the test of this adapter, and to no other
        said[adapter.name] = f"{type(error).__name__}: {error}"
torch.save(said, folder / "logits.pt")
