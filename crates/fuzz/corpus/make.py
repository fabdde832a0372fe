"""Makes the seeds that numpy, torch, safetensors and tokenizers write: python make.py

numpy 2, torch 2.15, safetensors 0.8, tokenizers 0.23. The other seeds were copied from tests/fixtures and configs, or written by Loupe, and made
small by hand.
"""

import pathlib

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

HERE = pathlib.Path(__file__).parent
VALUES = np.arange(6, dtype=np.float32).reshape(2, 3) / 7


def arrays() -> None:
    (HERE / "npy").mkdir(exist_ok=True)
    np.save(HERE / "npy/f32.npy", VALUES)
    np.save(HERE / "npy/fortran_f64.npy", np.asfortranarray(VALUES.astype(np.float64)))
    np.save(HERE / "npy/big_endian_f16.npy", VALUES.astype(">f2"))
    np.save(HERE / "npy/empty_i64.npy", np.zeros((0, 3), dtype=np.int64))
    np.savez(HERE / "npz/stored.npz", **{"layers.0.output": VALUES, "token_ids": np.array([2, 5])})
    np.savez_compressed(HERE / "npz/deflated.npz", l_out=VALUES, **{"l_out-1": VALUES.astype(np.float16)})
    (HERE / "bin/l_out-0.bin").write_bytes(VALUES.tobytes())


def tensors() -> None:
    x = torch.from_numpy(VALUES)
    torch.save({"model.layers.0": x, "ids": torch.tensor([[2, 5]]), "view": x.t()[1:]}, HERE / "pt/dict.pt")
    torch.save([x.bfloat16(), (x.half(), {"deep": x.double()})], HERE / "pt/nested.pt")
    torch.save(torch.nn.Parameter(x), HERE / "pt/parameter.pt")
    dump = {"layers.0.output": x.clone(), "layers.1.mlp.act": x.bfloat16(), "token_ids": torch.tensor([2, 5])}
    save_file(dump, HERE / "dump/ours.safetensors", metadata={"dtype": "bf16"})
    save_file({"model.layers.0.input_layernorm": x.half(), "hidden_states": x[None].clone()}, HERE / "dump/hooks.safetensors")


def tokenizers() -> None:
    words = ["<bos>", "<unk>", "▁", "a", "b", "The", "▁The", "c", "o", "l", "r", "ab"]
    vocab = {word: at for at, word in enumerate(words)}
    kinds = {
        "bpe": models.BPE(vocab, [("a", "b")], unk_token="<unk>", byte_fallback=True, fuse_unk=True),
        "unigram": models.Unigram([(word, -float(at)) for at, word in enumerate(words)], unk_id=1, byte_fallback=False),
        "wordpiece": models.WordPiece(vocab, unk_token="<unk>", max_input_chars_per_word=20),
        "wordlevel": models.WordLevel(vocab, unk_token="<unk>"),
    }
    for name, model in kinds.items():
        tokenizer = Tokenizer(model)
        tokenizer.normalizer = normalizers.Sequence(
            [normalizers.NFKC(), normalizers.Replace(" ", "▁"), normalizers.Prepend("▁"), normalizers.BertNormalizer()]
        )
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(" ", "merged_with_previous"),
                pre_tokenizers.Metaspace(),
                pre_tokenizers.ByteLevel(),
                pre_tokenizers.Digits(),
            ]
        )
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<bos> $A", pair="<bos> $A $B:1", special_tokens=[("<bos>", 0)]
        )
        tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
        tokenizer.add_special_tokens(["<bos>"])
        tokenizer.save(str(HERE / f"tokenizer/{name}.json"))


if __name__ == "__main__":
    arrays()
    tensors()
    tokenizers()
