from pathlib import Path

import pytest

from rhapsody_parsl.errors import ServiceFailed
from rhapsody_parsl.runtimes.vllm.adapters import (
    adapter_arguments,
    adapter_environment,
    adapter_in,
    check_adapters,
)
from rhapsody_parsl.service_config import VLLMService


def service(adapters: dict[str, str] | str, server: str = "hosted") -> VLLMService:
    return VLLMService("s", "m", adapters=adapters, server=server)  # type: ignore[arg-type]  # one of the two


def adapter(folder: Path, rank: int = 8) -> str:
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(f'{{"r": {rank}}}')
    return str(folder)


def test_a_service_without_adapters_is_told_nothing() -> None:
    assert adapter_arguments(service({})) == adapter_environment(service("")) == {}


@pytest.mark.parametrize(("ranks", "largest"), [((8, 4), 8), ((9, 64), 64), ((65,), 128), ((1,), 1), ((9999,), 512)])
def test_named_adapters_are_loaded_at_the_start_with_the_rank_of_the_largest(
    ranks: tuple[int, ...], largest: int, tmp_path: Path
) -> None:
    named = {f"a{number}": adapter(tmp_path / str(number), rank) for number, rank in enumerate(ranks)}
    assert adapter_arguments(service(named)) == {
        "enable_lora": True, "max_lora_rank": largest, "lora_modules": [f"{k}={v}" for k, v in named.items()]
    }  # fmt: skip
    assert adapter_environment(service(named)) == {}


def test_adapters_of_a_folder_are_loaded_when_they_are_asked(tmp_path: Path) -> None:
    adapter(tmp_path / "late", 32)
    assert adapter_arguments(service(str(tmp_path))) == {"enable_lora": True, "max_lora_rank": 32}
    assert adapter_environment(service(str(tmp_path))) == {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1"}
    assert adapter_environment(service(str(tmp_path), "command"))["VLLM_LORA_RESOLVER_CACHE_DIR"] == str(tmp_path)


def test_a_request_finds_adapters_of_the_folder_and_nothing_else(tmp_path: Path) -> None:
    adapter(tmp_path / "in" / "late")
    adapter(tmp_path / "beside")
    (tmp_path / "in" / "none").mkdir()
    assert adapter_in(str(tmp_path / "in"), "late") == tmp_path / "in" / "late"
    for name in ("../beside", "none", "", ".", "..", str(tmp_path / "beside"), "late/"):
        assert adapter_in(str(tmp_path / "in"), name) is None


def test_an_adapter_that_is_not_there_is_found_at_once(tmp_path: Path) -> None:
    check_adapters(service({"poet": adapter(tmp_path / "poet")}))
    check_adapters(service(str(tmp_path)))
    with pytest.raises(ServiceFailed, match=r"adapters\['poet'\]='/no/where': the folder has no adapter_config"):
        check_adapters(service({"poet": "/no/where"}))
    with pytest.raises(ServiceFailed, match="adapters='/no/where': no such folder"):
        check_adapters(service("/no/where"))


def test_a_config_that_cannot_be_read_is_for_vllm_to_complain_of(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("[]")
    assert "max_lora_rank" not in adapter_arguments(service({"poet": str(tmp_path)}))
