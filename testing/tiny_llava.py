"""A tiny, seeded, randomly initialised LLaVA: a model that takes images, made like `tiny_llama` and as fast.

An image is four patches for it. Its image processor works by Pillow, so it needs no torchvision.
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
    "{% for m in messages %}<|{{ m['role'] }}|>{% if m['content'] is string %}{{ m['content'] }}{% else %}"
    "{% for part in m['content'] %}{{ '<image>' if part['type'] == 'image' else part['text'] }}{% endfor %}"
    "{% endif %}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def write_tiny_llava(folder: Path, seed: int = 0) -> Path:
    """Write model, tokenizer and image processor to a folder and return it."""
    write_tiny_llama(folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_special_tokens([IMAGE])
    tokenizer.save(str(folder / "tokenizer.json"))
    size = replace(Size(), vocab=tokenizer.get_vocab_size())
    text = json.loads((folder / "config.json").read_text()) | {"vocab_size": size.vocab}
    more = json.loads((folder / "tokenizer_config.json").read_text()) | {"chat_template": CHAT_TEMPLATE}
    for name, content in (*_configs(text, size).items(), ("tokenizer_config.json", more)):
        (folder / name).write_text(json.dumps(content, indent=1))
    random = np.random.default_rng(seed)
    language = {f"language_model.{name}": weight for name, weight in llama_weights(size, random).items()}
    save_file(language | _vision(size.hidden, random), str(folder / "model.safetensors"), metadata={"format": "pt"})
    return folder


def _configs(text: dict[str, object], size: Size) -> dict[str, dict[str, object]]:
    crop = {"height": SIDE, "width": SIDE}
    return {
        "config.json": {
            "architectures": ["LlavaForConditionalGeneration"],
            "model_type": "llava",
            "torch_dtype": "bfloat16",
            "image_token_index": size.vocab - 1,
            "projector_hidden_act": "gelu",
            "vision_feature_layer": -1,
            "vision_feature_select_strategy": "default",
            "image_seq_length": (SIDE // PATCH) ** 2,
            "text_config": text,
            "vision_config": {
                "model_type": "clip_vision_model",
                "hidden_size": WIDTH,
                "intermediate_size": 2 * WIDTH,
                "num_hidden_layers": LAYERS,
                "num_attention_heads": 2,
                "image_size": SIDE,
                "patch_size": PATCH,
                "projection_dim": WIDTH,
            },
        },
        "preprocessor_config.json": {
            "image_processor_type": "CLIPImageProcessor",
            "processor_class": "LlavaProcessor",
            "size": {"shortest_edge": SIDE},
            "crop_size": crop,
        },
        "processor_config.json": {
            "processor_class": "LlavaProcessor",
            "image_token": IMAGE,
            "patch_size": PATCH,
            "vision_feature_select_strategy": "default",
            "num_additional_image_tokens": 1,
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
    positions = random.normal(0, 1, ((SIDE // PATCH) ** 2 + 1, WIDTH)).astype(np.float32)
    tensors[f"{tower}.embeddings.class_embedding"] = np.ones(WIDTH, np.float32)
    tensors[f"{tower}.embeddings.patch_embedding.weight"] = patches
    tensors[f"{tower}.embeddings.position_embedding.weight"] = positions
    for name in ("pre_layrnorm", "post_layernorm"):  # spelled so in all such models
        norm(f"{tower}.{name}")
    for number in range(LAYERS):
        within = f"{tower}.encoder.layers.{number}"
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            layer(f"{within}.self_attn.{part}", WIDTH, WIDTH)
        layer(f"{within}.mlp.fc1", 2 * WIDTH, WIDTH)
        layer(f"{within}.mlp.fc2", WIDTH, 2 * WIDTH)
        for name in ("layer_norm1", "layer_norm2"):
            norm(f"{within}.{name}")
    layer("multi_modal_projector.linear_1", hidden, WIDTH)
    layer("multi_modal_projector.linear_2", hidden, hidden)
    return tensors
