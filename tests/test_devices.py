"""Devices: what is there is chosen, what is not is refused by name."""

from __future__ import annotations

import pytest
import torch

from vsr.devices import choose_device
from vsr.errors import ConfigError


def test_auto_is_the_first_gpu_or_the_cpu() -> None:
    expected = "cuda:0" if torch.cuda.is_available() else "cpu"
    assert str(choose_device("auto")) == expected


def test_the_cpu_is_always_there() -> None:
    assert choose_device("cpu") == torch.device("cpu")


def test_a_gpu_that_is_not_there_is_refused_with_how_many_are() -> None:
    found = torch.cuda.device_count()
    with pytest.raises(ConfigError, match=f"device cuda:63 wanted, {found} GPU"):
        choose_device("cuda:63")


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "mps", "", "CPU", "cuda:-1"])
def test_a_device_of_another_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="device must be auto, cpu, cuda or cuda:N, got"):
        choose_device(name)


def test_processes_take_a_gpu_each_unless_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for wanted in ("auto", "cuda"):
        assert [str(choose_device(wanted, rank=rank)) for rank in (0, 1)] == ["cuda:0", "cuda:1"]
    assert str(choose_device("cuda:0", rank=1)) == "cuda:0"
    with pytest.raises(ConfigError, match=r"run\.device auto wanted, 2 GPUs.*fewer processes"):
        choose_device("auto", option="run.device", rank=2)
