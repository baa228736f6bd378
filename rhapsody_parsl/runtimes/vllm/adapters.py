"""LoRA adapters of a model: what its engine is told of them, and what is wrong with them before it starts."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rhapsody_parsl.errors import ServiceFailed
from rhapsody_parsl.service_config import VLLMService

__all__ = ("adapter_arguments", "adapter_environment", "adapter_in", "check_adapters", "named_adapters")

_CONFIG = "adapter_config.json"
_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM takes as the largest rank."""


def adapter_arguments(service: VLLMService) -> dict[str, Any]:
    """Return the engine arguments that load a service's adapters, {} where it has none."""
    if not service.adapters:
        return {}
    largest = max((_rank(folder) for _, folder in _folders(service)), default=0)
    fitting = next((rank for rank in _RANKS if rank >= largest), _RANKS[-1])
    arguments: dict[str, Any] = {"enable_lora": True} | ({"max_lora_rank": fitting} if largest else {})
    if isinstance(service.adapters, dict):
        arguments["lora_modules"] = [f"{name}={folder}" for name, folder in _folders(service)]
    return arguments


def adapter_environment(service: VLLMService) -> dict[str, str]:
    """Return the variables with which vLLM loads and unloads adapters while it runs."""
    if not service.adapters or (service.server == "hosted" and isinstance(service.adapters, dict)):
        return {}
    told = {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1"}
    # A hosted engine finds them by our own way, which takes adapters of any origin.
    if service.server == "command" and isinstance(service.adapters, str):
        told |= {"VLLM_PLUGINS": "lora_filesystem_resolver", "VLLM_LORA_RESOLVER_CACHE_DIR": str(_root(service))}
    return told


def adapter_in(folder: str, name: str) -> Path | None:
    """Return the adapter of a name in a folder of adapters, or None.

    Args:
        folder: Where adapters are, each in a folder of its name.
        name: As a request has it.
    """
    found = Path(folder).expanduser().resolve() / name
    return found if "/" not in name and name[:1] not in {"", "."} and (found / _CONFIG).is_file() else None


def check_adapters(service: VLLMService) -> None:
    """Find what is not there.

    Raises:
        ServiceFailed: The folder of adapters, or one of them.
    """
    if service.adapters and not isinstance(service.adapters, dict) and not _root(service).is_dir():
        raise ServiceFailed(service.name, f"adapters={service.adapters!r}: no such folder")
    for name, folder in _folders(service):
        if not (folder / _CONFIG).is_file():
            raise ServiceFailed(service.name, f"adapters[{name!r}]={str(folder)!r}: the folder has no {_CONFIG}")


def named_adapters(service: VLLMService) -> dict[str, str] | None:
    """Return the folders of named adapters, None where the engine finds its adapters by itself."""
    if isinstance(service.adapters, str) and service.adapters:
        return None
    return {name: str(folder) for name, folder in _folders(service)}


def _root(service: VLLMService) -> Path:
    return Path(str(service.adapters)).expanduser().resolve()


def _folders(service: VLLMService) -> Iterator[tuple[str, Path]]:
    """Go over the adapters that are known before anybody asks."""
    if isinstance(service.adapters, dict):
        for name, folder in service.adapters.items():
            yield name, Path(folder).expanduser().resolve()
    elif service.adapters:
        yield from ((file.parent.name, file.parent) for file in sorted(_root(service).glob(f"*/{_CONFIG}")))


def _rank(folder: Path) -> int:
    try:
        return int(json.loads((folder / _CONFIG).read_text()).get("r") or 0)
    except (OSError, ValueError, TypeError, AttributeError):
        return 0  # for vLLM to complain of
