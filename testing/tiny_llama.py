"""A tiny, seeded, randomly initialised Llama with a tokenizer of its own: a model in 0.3 s.

Its words mean nothing; vLLM loads and serves it like any other. The tokenizer is byte-level with
no merges, so every text survives a round trip. Neither torch nor transformers is imported here.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

Tensors: TypeAlias = dict[str, npt.NDArray[np.float32]]

SPECIALS = ("<|bos|>", "<|end|>", "<|pad|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>")
CHAT_TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@dataclass(frozen=True, slots=True)
class Size:
    """How large the model is.

    Attributes:
        layers: Number of transformer layers.
        hidden: Width of a layer.
        vocab: Number of tokens.
        context: Longest text, in tokens.
        heads: Attention heads; half as many hold keys and values.
    """

    layers: int = 2
    hidden: int = 64
    vocab: int = 512
    context: int = 2048
    heads: int = 2

    @property
    def inner(self) -> int:
        """Width of the feed-forward part."""
        return 2 * self.hidden


def write_tiny_llama(folder: Path, size: Size | None = None, seed: int = 0) -> Path:
    """Write model and tokenizer to a folder and return it."""
    size = size or Size()
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer(size).save(str(folder / "tokenizer.json"))
    for name, content in configs(size).items():
        (folder / name).write_text(json.dumps(content, indent=1))
    save_file(weights(size, np.random.default_rng(seed)), str(folder / "model.safetensors"), metadata={"format": "pt"})
    return folder


def write_tiny_adapter(folder: Path, size: Size | None = None, seed: int = 1, rank: int = 8) -> Path:
    """Write a random LoRA adapter for such a model to a folder and return it; it changes every answer."""
    size, random = size or Size(), np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    content = {"peft_type": "LORA", "r": rank, "lora_alpha": 2 * rank, "target_modules": ["q_proj", "v_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(content))
    tensors: Tensors = {}
    for layer in range(size.layers):
        for part, width in (("q_proj", size.hidden), ("v_proj", size.hidden // 2)):
            name = f"base_model.model.model.layers.{layer}.self_attn.{part}"
            tensors[f"{name}.lora_A.weight"] = random.normal(0, 1, (rank, size.hidden)).astype(np.float32)
            tensors[f"{name}.lora_B.weight"] = random.normal(0, 1, (width, rank)).astype(np.float32)
    save_file(tensors, str(folder / "adapter_model.safetensors"), metadata={"format": "pt"})
    return folder


def tokenizer(size: Size, more: Sequence[str] = ()) -> Tokenizer:
    """Return the tokenizer, with further special tokens."""
    specials = (*SPECIALS, *more)
    tokens = [*specials, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    # Each id must decode to something printable; "\u0120" is the byte-level space.
    tokens += [f"\u0120w{i}" for i in range(len(tokens), size.vocab)]
    ids = {token: i for i, token in enumerate(tokens)}
    made = Tokenizer(models.BPE(vocab=ids, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(list(specials))
    return made


def configs(size: Size) -> dict[str, dict[str, object]]:
    """Return what describes model and tokenizer, by file."""
    ends: dict[str, object] = {"bos_token_id": 0, "eos_token_id": 1}
    return {
        "generation_config.json": ends,
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": "<|bos|>",
            "eos_token": "<|end|>",
            "pad_token": "<|pad|>",
            "model_max_length": size.context,
            "chat_template": CHAT_TEMPLATE,
        },
        "config.json": {
            **ends,
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "torch_dtype": "bfloat16",
            "hidden_size": size.hidden,
            "intermediate_size": size.inner,
            "num_hidden_layers": size.layers,
            "num_attention_heads": size.heads,
            "num_key_value_heads": size.heads // 2,
            "max_position_embeddings": size.context,
            "vocab_size": size.vocab,
            "rms_norm_eps": 1e-5,
            "rope_theta": 1e4,
            "hidden_act": "silu",
            "tie_word_embeddings": False,
            "pad_token_id": 2,
        },
    }


def weights(size: Size, random: np.random.Generator) -> Tensors:
    """Return random weights."""

    def drawn(*shape: int) -> npt.NDArray[np.float32]:
        return random.normal(0, 0.05, shape).astype(np.float32)

    ones = np.ones(size.hidden, np.float32)
    half = size.hidden // 2  # keys and values: half as many heads
    tensors: Tensors = {
        "model.embed_tokens.weight": drawn(size.vocab, size.hidden),
        "model.norm.weight": ones,
        "lm_head.weight": drawn(size.vocab, size.hidden),
    }
    for layer in range(size.layers):
        parts = {
            "input_layernorm": ones,
            "post_attention_layernorm": ones,
            "self_attn.q_proj": drawn(size.hidden, size.hidden),
            "self_attn.k_proj": drawn(half, size.hidden),
            "self_attn.v_proj": drawn(half, size.hidden),
            "self_attn.o_proj": drawn(size.hidden, size.hidden),
            "mlp.gate_proj": drawn(size.inner, size.hidden),
            "mlp.up_proj": drawn(size.inner, size.hidden),
            "mlp.down_proj": drawn(size.hidden, size.inner),
        }
        tensors |= {f"model.layers.{layer}.{part}.weight": w for part, w in parts.items()}
    return tensors


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    print(write_tiny_llama(parser.parse_args().folder))  # noqa: T201 - a command's answer
