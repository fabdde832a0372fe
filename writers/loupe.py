"""Writes what a PyTorch model computes to a file that Loupe judges. Copy this file; it needs torch and safetensors.

    import loupe
    loupe.attach(model, "dump.safetensors")   # any torch.nn.Module, a transformers model among them
    model(input_ids)                          # the next forward pass is written, and the hooks are gone

Recorded are the outputs of all modules under their own paths, the inputs of o_proj and down_proj, which no module returns,
and where the model's code has transformers' apply_rotary_pos_emb, queries and keys after it. Probabilities are there with
attn_implementation="eager" alone: other kernels never hold them.
"""

import sys

import safetensors.torch
import torch

# What is computed between two modules, and so is the output of none.
INPUTS = ("o_proj", "down_proj")


def attach(model, path="dump.safetensors"):
    """Records the next forward pass of `model` and writes it to `path`. Returns the recorder: `detach()` gives up."""
    return Recorder(model, path)


class Recorder:
    def __init__(self, model, path):
        self.path, self.values, self.open = path, {}, []
        self.handles = [
            model.register_forward_pre_hook(self._began, with_kwargs=True),
            model.register_forward_hook(self._ended),
        ]
        for name, module in model.named_modules():
            if module is not model:
                self.handles.append(module.register_forward_pre_hook(self._enters(name), with_kwargs=True))
                self.handles.append(module.register_forward_hook(self._leaves(name), always_call=True))
        self.originals = []
        for code in {sys.modules.get(type(module).__module__) for module in model.modules()} - {None}:
            rotate = getattr(code, "apply_rotary_pos_emb", None)
            if rotate is not None:
                self.originals.append((code, rotate))
                code.apply_rotary_pos_emb = self._rotates(rotate)

    def detach(self):
        """Removes every hook."""
        for handle in self.handles:
            handle.remove()
        for code, rotate in self.originals:
            code.apply_rotary_pos_emb = rotate
        self.handles, self.originals = [], []

    def add(self, name, value):
        """A value under a name of its own, such as one that a custom kernel returns."""
        if not isinstance(value, torch.Tensor) or value.is_complex() or value.is_quantized:
            return
        # A copy: models go on to change what they return. A module that runs twice is two modules.
        times = sum(known == name or known.startswith(name + "#") for known in self.values)
        name = f"{name}#{times + 1}" if times else name
        self.values[name] = value.detach().to("cpu", copy=True).contiguous()

    def _began(self, model, args, kwargs):
        self.values.clear()
        ids = kwargs.get("input_ids", args[0] if args else None)
        if isinstance(ids, torch.Tensor) and not ids.is_floating_point():
            self.add("token_ids", ids.long())

    def _ended(self, model, args, out):
        self.detach()
        logits = getattr(out, "logits", out[0] if isinstance(out, tuple) else out)
        self.add("logits", logits)
        metadata = {"writer": "loupe.py", "torch": torch.__version__, "model": type(model).__name__}
        safetensors.torch.save_file(self.values, self.path, metadata)

    def _enters(self, name):
        def enters(module, args, kwargs):
            self.open.append(name)
            if name.endswith(INPUTS) and args:
                self.add(f"{name}.input", args[0])

        return enters

    def _leaves(self, name):
        def leaves(module, args, out):
            if self.open:
                self.open.pop()
            several = out if isinstance(out, (tuple, list)) else (out,)
            self.add(name, several[0] if several else None)
            # transformers' attention returns its probabilities beside its output.
            if name.endswith("self_attn") and len(several) > 1:
                self.add(f"{name}.probs", several[1])

        return leaves

    def _rotates(self, rotate):
        def rotates(*args, **kwargs):
            q, k = rotate(*args, **kwargs)
            where = f"{self.open[-1]}." if self.open else ""
            self.add(f"{where}q_rope", q)
            self.add(f"{where}k_rope", k)
            return q, k

        return rotates
