"""A tiny, seeded, randomly initialised PaliGemma: a model that takes images, made like `tiny_llama` and as fast.

An image is four patches for it. Its image processor works by Pillow, and the model itself needs no torchvision: of the
models of vLLM with images, few do not.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer

from testing.tiny_llama import Size, Tensors, llama_weights, write_tiny_llama

IMAGE = "<image>"
PATCH, SIDE = 14, 28
"""Pixels of a patch's side, and of an image's."""
WIDTH, LAYERS = 32, 2
"""Of the part that looks at images."""
CHAT_TEMPLATE = (
    "{% for m in messages %}{% for part in m['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endfor %}"
)


def write_tiny_paligemma(folder: Path, seed: int = 0) -> Path:
    """Write model, tokenizer and image processor to a folder and return it."""
    write_tiny_llama(folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_special_tokens([IMAGE])
    tokenizer.add_tokens(["\n"])
    tokenizer.save(str(folder / "tokenizer.json"))
    size = replace(Size(), vocab=tokenizer.get_vocab_size())
    for name, changes in _configs(size, tokenizer.get_vocab()[IMAGE]).items():
        path = folder / name
        known = json.loads(path.read_text()) if path.exists() and name != "config.json" else {}
        path.write_text(json.dumps(known | changes, indent=1))
    random = np.random.default_rng(seed)
    language = {f"language_model.{name}": weight for name, weight in llama_weights(size, random).items()}
    del language["language_model.lm_head.weight"]  # it is the embedding's
    save_file(language | _vision(size.hidden, random), str(folder / "model.safetensors"), metadata={"format": "pt"})
    return folder


def _configs(size: Size, image: int) -> dict[str, dict[str, object]]:
    return {
        "tokenizer_config.json": {"chat_template": CHAT_TEMPLATE, "add_bos_token": False},
        "config.json": {
            "architectures": ["PaliGemmaForConditionalGeneration"],
            "model_type": "paligemma",
            "torch_dtype": "bfloat16",
            "bos_token_id": 0,
            "eos_token_id": 1,
            "pad_token_id": 2,
            "image_token_index": image,
            "hidden_size": size.hidden,
            "projection_dim": size.hidden,
            "text_config": {
                "model_type": "gemma",
                "vocab_size": size.vocab,
                "hidden_size": size.hidden,
                "intermediate_size": size.inner,
                "num_hidden_layers": size.layers,
                "num_attention_heads": size.heads,
                "num_key_value_heads": size.heads // 2,
                "head_dim": size.hidden // size.heads,
                "max_position_embeddings": size.context,
                "num_image_tokens": (SIDE // PATCH) ** 2,
            },
            "vision_config": {
                "model_type": "siglip_vision_model",
                "hidden_size": WIDTH,
                "intermediate_size": 2 * WIDTH,
                "num_hidden_layers": LAYERS,
                "num_attention_heads": 2,
                "image_size": SIDE,
                "patch_size": PATCH,
                "projection_dim": size.hidden,
                "vision_use_head": False,
            },
        },
        "preprocessor_config.json": {
            "image_processor_type": "SiglipImageProcessor",
            "processor_class": "PaliGemmaProcessor",
            "size": {"height": SIDE, "width": SIDE},
            "image_seq_length": (SIDE // PATCH) ** 2,
        },
    }


def _vision(hidden: int, random: np.random.Generator) -> Tensors:
    tensors: Tensors = {}

    def layer(name: str, out: int, into: int) -> None:
        tensors[f"{name}.weight"] = random.normal(0, 0.05, (out, into)).astype(np.float32)
        tensors[f"{name}.bias"] = np.zeros(out, np.float32)

    def norm(name: str) -> None:
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = np.ones(WIDTH, np.float32), np.zeros(WIDTH, np.float32)

    tower = "vision_tower.vision_model"
    patches = random.normal(0, 1, (WIDTH, 3, PATCH, PATCH)).astype(np.float32)
    tensors[f"{tower}.embeddings.patch_embedding.weight"] = patches
    tensors[f"{tower}.embeddings.patch_embedding.bias"] = np.zeros(WIDTH, np.float32)
    positions = random.normal(0, 1, ((SIDE // PATCH) ** 2, WIDTH)).astype(np.float32)
    tensors[f"{tower}.embeddings.position_embedding.weight"] = positions
    norm(f"{tower}.post_layernorm")
    for number in range(LAYERS):
        within = f"{tower}.encoder.layers.{number}"
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            layer(f"{within}.self_attn.{part}", WIDTH, WIDTH)
        layer(f"{within}.mlp.fc1", 2 * WIDTH, WIDTH)
        layer(f"{within}.mlp.fc2", WIDTH, 2 * WIDTH)
        for name in ("layer_norm1", "layer_norm2"):
            norm(f"{within}.{name}")
    layer("multi_modal_projector.linear", hidden, WIDTH)
    return tensors
