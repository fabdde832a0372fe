"""Peer of configs/layer-out.json: the residual stream after layers 0, 12 and 25."""

import torch
from common import load, show

model, ids = load()
with torch.no_grad():
    states = model(ids, output_hidden_states=True).hidden_states
for layer in [0, 12, 25]:
    show(f"layer {layer}, last token", states[layer + 1][0, -1])
