"""Peer of configs/embed.json: raw and scaled embedding, layer 0's output."""

import torch
from common import load, show

model, ids = load()
with torch.no_grad():
    raw = torch.nn.functional.embedding(ids, model.model.embed_tokens.weight)
    states = model.model(ids, output_hidden_states=True).hidden_states
show("embedding, raw", raw[0, -1], 5)
show("embedding, scaled", states[0][0, -1], 5)
show("layer 0 output", states[1][0, -1], 5)
