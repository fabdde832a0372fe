"""Peer of configs/rope.json: the rotation at position 6."""

import torch
from common import load, show

model, ids = load()
with torch.no_grad():
    cos, sin = model.model.rotary_emb(torch.zeros(1, device=ids.device), torch.tensor([[6]], device=ids.device))
show("cos", cos[0, 0], 8, 6)
show("sin", sin[0, 0], 8, 6)
