"""What the six peer scripts share: the whole model loaded with transformers, as the scripts that Loupe replaces do.

Each script is run as `python NAME.py MODEL_DIR [DEVICE] [DTYPE]` (cpu, float32) and prints what its check prints.
"""

import sys

import torch
from transformers import Gemma2ForCausalLM

IDS = [2, 651, 2881, 576, 573, 8203, 603]  # "The color of the sky is"


def load():
    """The model in the dtype and on the device that the command line names."""
    folder = sys.argv[1]
    device = sys.argv[2] if len(sys.argv) > 2 else "cpu"
    dtype = getattr(torch, sys.argv[3] if len(sys.argv) > 3 else "float32")
    # Strict f32, as Loupe's default: torch's own default too, said so that it stays so.
    torch.backends.cuda.matmul.allow_tf32 = False
    model = Gemma2ForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager").to(device).eval()
    return model, torch.tensor([IDS], device=device)


def show(label, values, count=8, decimals=4):
    numbers = " ".join(f"{v:>10.{decimals}f}" for v in values.flatten()[:count].float().tolist())
    print(f"{label:<34} {numbers}")
