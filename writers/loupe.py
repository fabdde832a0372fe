"""Writes what a PyTorch model computes to a file that Loupe judges. Copy this file; it needs torch and safetensors.

    import loupe
    loupe.attach(model, "dump.safetensors")   # any torch.nn.Module, a transformers model among them
    model(input_ids)                          # the next call of `model` itself is written, and the hooks are gone

Recorded are the outputs of all modules under their own paths, the inputs of o_proj and down_proj, which no module returns,
and where the model's code has transformers' apply_rotary_pos_emb, queries and keys after it. Probabilities are there with
attn_implementation="eager" alone: other kernels never hold them. Give the whole prompt in one call, without a cache.
"""

import os
import sys

import safetensors.torch
import torch

# What is computed between two modules, and so is the output of none.
INPUTS = ("o_proj", "down_proj")
ROTATE = "apply_rotary_pos_emb"
# Of each module of code whose function is wrapped: the function, and who listens.
wrapped = {}


def attach(model, path="dump.safetensors"):
    """Records the next forward pass of `model` and writes it to `path`. Returns the recorder: `detach()` gives up."""
    return Recorder(model, path)


class Recorder:
    def __init__(self, model, path):
        if not os.path.isdir(os.path.dirname(os.path.abspath(path))):
            raise FileNotFoundError(f"loupe.attach: the folder of {path} is not there")
        self.path, self.values, self.open, self.running = path, {}, [], False
        self.handles = [
            model.register_forward_pre_hook(self._began, with_kwargs=True),
            model.register_forward_hook(self._ended),
        ]
        for name, module in model.named_modules():
            name = f"{name}.".replace("_orig_mod.", "").rstrip(".")  # torch.compile puts that before each
            if name:
                self.handles.append(module.register_forward_pre_hook(self._enters(name), with_kwargs=True))
                self.handles.append(module.register_forward_hook(self._leaves(name), always_call=True))
        self.code = {sys.modules.get(type(module).__module__) for module in model.modules()} - {None}
        for code in self.code:
            if callable(getattr(code, ROTATE, None)):
                wrapped.setdefault(code, (getattr(code, ROTATE), []))[1].append(self)
                setattr(code, ROTATE, rotating(code))

    def detach(self):
        """Removes every hook."""
        for handle in self.handles:
            handle.remove()
        for code in self.code & set(wrapped):
            original, listening = wrapped[code]
            listening[:] = [other for other in listening if other is not self]
            if not listening:
                setattr(code, ROTATE, original)
                del wrapped[code]
        self.handles, self.code = [], set()

    def add(self, name, value):
        """A value under a name of its own, such as one that a custom kernel returns; the parts of a dict."""
        if isinstance(value, dict):
            for key, part in value.items():
                self.add(f"{name}.{key}" if name else str(key), part)
        dense = isinstance(value, torch.Tensor) and value.layout == torch.strided and value.device.type != "meta"
        if not self.running or not dense or value.is_complex() or value.is_quantized or value.is_nested:
            return
        # A copy: models go on to change what they return. A module that runs twice is two modules.
        times = sum(known == name or known.startswith(name + "#") for known in self.values)
        name = f"{name}#{times + 1}" if times else name
        self.values[name] = value.detach().to("cpu", copy=True).contiguous()

    def _began(self, model, args, kwargs):
        self.values, self.open, self.running = {}, [], True
        cache = kwargs.get("past_key_values")
        if cache is not None and (cache.get_seq_length() if hasattr(cache, "get_seq_length") else len(cache)):
            print("loupe.py: this pass goes on from a cache; Loupe knows the rows of a whole prompt", file=sys.stderr)
            return  # these are not all ids of the prompt
        said = [x for key, x in kwargs.items() if "mask" not in key and "position" not in key and "type" not in key]
        tensors = [x for x in (kwargs.get("input_ids"), *args, *said) if isinstance(x, torch.Tensor)]
        ids = next((x for x in tensors if not x.is_floating_point() and x.dtype != torch.bool and x.dim() in (1, 2)), None)
        if ids is not None:
            self.add("token_ids", ids.long())

    def _ended(self, model, args, out):
        logits = getattr(out, "logits", None)
        if logits is not None:
            self.add("logits", logits)
        elif isinstance(out, dict):
            self.add("", out)
        else:
            # Beside a loss, if there is one.
            parts = out if isinstance(out, (tuple, list)) else (out,)
            name = "logits" if any(path.endswith("lm_head") for path, _ in model.named_modules()) else "output"
            self.add(name, next((x for x in parts if isinstance(x, torch.Tensor) and x.dim() > 1), None))
        self.running = False
        self.detach()
        metadata = {"writer": "loupe.py", "torch": torch.__version__, "model": type(model).__name__}
        safetensors.torch.save_file(self.values, self.path, metadata)

    def _enters(self, name):
        def enters(module, args, kwargs):
            self.open.append(name)
            if name.endswith(INPUTS):
                self.add(f"{name}.input", first((*args, *kwargs.values())))

        return enters

    def _leaves(self, name):
        def leaves(module, args, out):
            if self.open:
                self.open.pop()
            self.add(name, out if isinstance(out, dict) else first(out))
            # transformers' attention returns its probabilities beside its output.
            if name.endswith("self_attn") and isinstance(out, (tuple, list)) and len(out) > 1:
                self.add(f"{name}.probs", out[1])

        return leaves


def first(values):
    return next(iter(values), None) if isinstance(values, (tuple, list)) else values


def rotating(code):
    """The function of `code`, with what it returns added to those who listen and are in the middle of a pass."""
    original, listening = wrapped[code]

    def rotates(*args, **kwargs):
        out = original(*args, **kwargs)
        if isinstance(out, (tuple, list)) and len(out) == 2:
            for recorder in listening:
                for name, value in zip(("q_rope", "k_rope"), out):
                    if recorder.open:
                        recorder.add(f"{recorder.open[-1]}.{name}", value)
        return out

    return rotates
