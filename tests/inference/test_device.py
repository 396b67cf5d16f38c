"""Devices and precisions: what is there is chosen, what is not is refused by name."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from vsr.errors import ConfigError
from vsr.inference.device import choose_device, choose_precision, free_memory, has_fast_bf16


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


@pytest.mark.parametrize("wanted", ["fp32", "bf16", "fp16"])
def test_a_precision_that_is_asked_for_is_obeyed_on_the_cpu(wanted: str) -> None:
    assert choose_precision(wanted, torch.device("cpu")) == wanted


def test_auto_on_cuda_is_fp16() -> None:
    assert choose_precision("auto", torch.device("cuda", 0)) == "fp16"


def test_auto_on_a_cpu_is_never_fp16() -> None:
    assert choose_precision("auto", torch.device("cpu")) in ("bf16", "fp32")


@pytest.mark.parametrize(
    ("description", "fast"),
    [
        ("flags\t\t: fpu avx2 avx512f avx512bw avx512_bf16 avx512_vnni", True),
        ("flags\t\t: fpu amx_tile amx_bf16", True),
        ("Features\t: fp asimd bf16 i8mm", True),
        ("flags\t\t: fpu avx2 avx512f avx512bw avx512_vnni", False),
        ("", False),
    ],
)
def test_fast_bf16_is_read_from_the_cpus_own_description(description: str, fast: bool) -> None:
    assert has_fast_bf16(description) is fast


def test_some_memory_is_free() -> None:
    assert 2**20 < free_memory(torch.device("cpu")) < 2**50


def test_options_are_read_without_torch() -> None:
    code = "import sys, vsr.inference.options; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
