"""Peer of configs/weights.json: one projection as the loaded model holds it."""

from common import load, show

model, _ = load()
weight = model.model.layers[0].self_attn.q_proj.weight.data
print(tuple(weight.shape))
show("[0, :8]", weight[0, :8], 8, 6)
show("[:8, 0]", weight[:8, 0], 8, 6)
show("[0, 100]", weight[0, 100:101], 1, 6)
