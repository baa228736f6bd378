"""A tiny, seeded, randomly initialised Idefics3: a model that takes images, made in 0.3 s.

Its text part is the tiny Llama. Its answers mean nothing, but depend on each image. vLLM serves it without
torchvision.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from testing.tiny_llama import Size, Tensors, configs, tokenizer, weights

__all__ = ("write_tiny_idefics",)

IMAGE = "<image>"
SPECIALS = (IMAGE, "<fake_token_around_image>", "<end_of_utterance>", "<global-img>")
CHAT_TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for part in m['content'] %}"
    "{% if part['type'] == 'image' %}" + IMAGE + "{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
EDGE, PATCH, SCALE = 56, 14, 2
"""Points of an image's edge, and of a patch's; patches of an edge that become one token."""
LAYERS = 2


def write_tiny_idefics(folder: Path, size: Size | None = None, seed: int = 0) -> Path:
    """Write model, tokenizer and processor to a folder and return it."""
    size = size or Size()
    folder.mkdir(parents=True, exist_ok=True)
    words = tokenizer(size, SPECIALS)
    words.save(str(folder / "tokenizer.json"))
    for name, content in _configs(size, words.get_vocab()[IMAGE]).items():
        (folder / name).write_text(json.dumps(content, indent=1))
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    random = np.random.default_rng(seed)
    text = {name.replace("model.", "model.text_model."): tensor for name, tensor in weights(size, random).items()}
    save_file(text | _seeing(size, random), str(folder / "model.safetensors"), metadata={"format": "pt"})
    return folder


def _configs(size: Size, image: int) -> dict[str, dict[str, Any]]:
    made: dict[str, dict[str, Any]] = configs(size)
    edge = {"longest_edge": EDGE}
    made["processor_config.json"] = {
        "processor_class": "Idefics3Processor",
        "image_seq_len": (EDGE // PATCH // SCALE) ** 2,
        "image_processor": {
            "image_processor_type": "Idefics3ImageProcessor",
            "do_image_splitting": False,
            "size": edge,
            "max_image_size": edge,
        },
    }
    text = {name: value for name, value in made["config.json"].items() if name != "architectures"}
    made["config.json"] = {
        "architectures": ["Idefics3ForConditionalGeneration"],
        "model_type": "idefics3",
        "torch_dtype": "bfloat16",
        "image_token_id": image,
        "scale_factor": SCALE,
        "pad_token_id": text["pad_token_id"],
        "tie_word_embeddings": False,
        "text_config": text,
        "vision_config": {
            "model_type": "idefics3_vision",
            "hidden_size": size.hidden,
            "intermediate_size": size.inner,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": size.heads,
            "image_size": EDGE,
            "patch_size": PATCH,
        },
    }
    return made


def _seeing(size: Size, random: np.random.Generator) -> Tensors:
    """Return the weights of what reads images."""
    wide, see = size.hidden, "model.vision_model"
    shapes: dict[str, tuple[int, ...]] = {
        "model.connector.modality_projection.proj.weight": (wide, wide * SCALE**2),
        f"{see}.embeddings.patch_embedding.weight": (wide, 3, PATCH, PATCH),
        f"{see}.embeddings.patch_embedding.bias": (wide,),
        f"{see}.embeddings.position_embedding.weight": ((EDGE // PATCH) ** 2, wide),
    }
    for layer in range(LAYERS):
        part = f"{see}.encoder.layers.{layer}"
        both = {f"self_attn.{name}_proj": (wide, wide) for name in ("q", "k", "v", "out")}
        for name, shape in {**both, "mlp.fc1": (size.inner, wide), "mlp.fc2": (wide, size.inner)}.items():
            shapes |= {f"{part}.{name}.weight": shape, f"{part}.{name}.bias": shape[:1]}
    drawn = {name: random.normal(0, 0.05, shape).astype(np.float32) for name, shape in shapes.items()}
    norms = [f"{see}.encoder.layers.{layer}.layer_norm{place}" for layer in range(LAYERS) for place in (1, 2)]
    for norm in (*norms, f"{see}.post_layernorm"):
        drawn |= {f"{norm}.weight": np.ones(wide, np.float32), f"{norm}.bias": np.zeros(wide, np.float32)}
    return drawn
