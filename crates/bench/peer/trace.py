"""Peer of `trace`: every module's output, copied to the host, and the logits; one line each."""

import torch
from common import load

model, ids = load()
seen = {}


def record(name):
    def hook(_module, _inputs, out):
        seen[name] = (out[0] if isinstance(out, tuple) else out).float().cpu()

    return hook


for name, module in model.named_modules():
    if name and not name.endswith((".layers", "rotary_emb")) and name != "model":
        module.register_forward_hook(record(name))
with torch.no_grad():
    seen["logits"] = model(ids).logits.float().cpu()
for name, value in seen.items():
    print(f"{name:<44} {list(value.shape)} mean {value.mean():.4f} std {value.std():.4f} min {value.min():.4f} max {value.max():.4f}")
