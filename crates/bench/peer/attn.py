"""Peer of configs/attn.json: layer 0's input norm, q, k and v."""

import torch
from common import load, show

model, ids = load()
seen = {}
layer = model.model.layers[0]
parts = {"input norm": layer.input_layernorm, "q": layer.self_attn.q_proj, "k": layer.self_attn.k_proj, "v": layer.self_attn.v_proj}
for name, module in parts.items():
    module.register_forward_hook(lambda _m, _i, out, name=name: seen.__setitem__(name, out))
with torch.no_grad():
    model.model(ids)
for name, value in seen.items():
    show(f"{name}, last token", value[0, -1])
    show(f"{name}, token 0", value[0, 0])
