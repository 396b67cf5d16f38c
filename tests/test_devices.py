"""Devices and precisions: what is there is chosen, what is not is refused by name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from vsr.devices import (
    _runs,
    choose_device,
    choose_precision,
    describe_device,
    free_memory,
    has_fast_bf16,
    training_precision,
    why_no_gpu,
)
from vsr.errors import ConfigError


@pytest.mark.parametrize("wanted", ["fp32", "bf16", "fp16"])
def test_a_precision_that_is_asked_for_is_obeyed_on_the_cpu(wanted: str) -> None:
    assert choose_precision(wanted, torch.device("cpu")) == wanted


def test_auto_on_a_cpu_is_never_fp16() -> None:
    assert choose_precision("auto", torch.device("cpu")) in ("bf16", "fp32")


@pytest.mark.parametrize(
    ("description", "fast"),
    [
        ("vendor_id\t: AuthenticAMD\nflags\t\t: fpu avx2 avx512bw avx512_bf16 avx512_vnni", True),
        ("vendor_id\t: GenuineIntel\nflags\t\t: fpu avx2 avx512bw avx512_bf16 avx512_vnni", False),
        ("vendor_id\t: GenuineIntel\nflags\t\t: fpu avx512_bf16 amx_tile amx_bf16", True),
        ("flags\t\t: fpu amx_tile amx_bf16", True),
        ("Features\t: fp asimd bf16 i8mm", True),
        ("flags\t\t: fpu avx2 avx512f avx512bw avx512_vnni", False),
        ("", False),
    ],
)
def test_fast_bf16_is_read_from_the_cpus_own_description(description: str, fast: bool) -> None:
    assert has_fast_bf16(description) is fast


def test_a_cpu_trains_and_computes_in_the_same_precision() -> None:
    cpu = torch.device("cpu")
    assert training_precision("auto", cpu) == choose_precision("auto", cpu)
    assert training_precision("bf16", cpu) == "bf16"
    with pytest.raises(ConfigError, match="wants CUDA"):
        training_precision("fp16", cpu)


def test_some_memory_is_free() -> None:
    assert 2**20 < free_memory(torch.device("cpu")) < 2**50


GIB = 2**30
STAT = f"anon 5\nfile 9\ninactive_anon 3\ninactive_file {2 * GIB}\ntotal_inactive_file {3 * GIB}\n"
LIMITS = {
    "version 2": (
        "sys/fs/cgroup",
        {"memory.max": 8 * GIB, "memory.current": 7 * GIB, "memory.stat": STAT},
    ),
    "version 1": (
        "sys/fs/cgroup/memory",
        {
            "memory.limit_in_bytes": 8 * GIB,
            "memory.usage_in_bytes": 7 * GIB,
            "memory.stat": STAT,
        },
    ),
    "version 2, no limit": (
        "sys/fs/cgroup",
        {"memory.max": "max", "memory.current": 7 * GIB, "memory.stat": STAT},
    ),
    "version 2, no stat": ("sys/fs/cgroup", {"memory.max": 8 * GIB, "memory.current": 7 * GIB}),
    "more cache than is counted": (
        "sys/fs/cgroup",
        {"memory.max": 8 * GIB, "memory.current": GIB, "memory.stat": STAT},
    ),
    "none": ("sys/fs/cgroup", {}),
}


@pytest.mark.skipif(sys.platform != "linux", reason="these files are Linux's")
@pytest.mark.parametrize(
    ("case", "available", "free"),
    [
        ("version 2", 50, 3),
        ("version 1", 50, 4),
        ("version 2", 2, 2),
        ("version 2, no limit", 50, 50),
        ("version 2, no stat", 50, 1),
        ("more cache than is counted", 50, 8),
        ("none", 50, 50),
    ],
)
def test_cached_files_of_a_container_count_as_free(
    tmp_path: Path, case: str, available: int, free: int
) -> None:
    folder, files = LIMITS[case]
    (tmp_path / folder).mkdir(parents=True)
    for name, content in files.items():
        (tmp_path / folder / name).write_text(f"{content}\n")
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "meminfo").write_text(
        f"MemTotal: 99999999 kB\nMemAvailable: {available * 2**20} kB\n"
    )
    assert free_memory(torch.device("cpu"), tmp_path) == free * GIB


def test_options_are_read_without_torch() -> None:
    code = "import sys, vsr.options; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_cpu_is_always_there() -> None:
    assert choose_device("cpu") == torch.device("cpu")


def seen(monkeypatch: pytest.MonkeyPatch, kind: str | None, misfits: list[str]) -> None:
    """Have PyTorch see GPUs, a reason for each why it cannot be used, or none."""
    monkeypatch.setattr("vsr.devices._gpus", lambda: (kind, len(misfits)))
    monkeypatch.setattr("vsr.devices._misfit", misfits.__getitem__)


@pytest.mark.parametrize("kind", ["cuda", "xpu", "mps"])
def test_auto_is_the_first_gpu_that_can_be_used(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    seen(monkeypatch, kind, ["too old", "", ""])
    assert choose_device("auto") == choose_device(kind) == torch.device(kind, 1)
    assert choose_device(f"{kind}:2") == torch.device(kind, 2)
    assert choose_device("cpu") == torch.device("cpu")
    assert why_no_gpu() == ""
    assert describe_device("cpu") == "cpu"


def test_auto_without_a_usable_gpu_is_the_cpu_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    seen(monkeypatch, "cuda", ["GTX 970 (sm_52) is too old"])
    assert choose_device("auto") == torch.device("cpu")
    assert describe_device("cpu") == "cpu (GTX 970 (sm_52) is too old)"


@pytest.mark.skipif(
    bool(torch.accelerator.current_accelerator()), reason="this PyTorch is built for GPUs"
)
def test_a_build_for_cpus_is_named() -> None:
    assert describe_device("cpu") == "cpu (this PyTorch is built for CPUs only)"
    with pytest.raises(ConfigError) as caught:
        choose_device("cuda:63")
    assert str(caught.value) == (
        "device cuda:63 wanted, 0 GPUs found (this PyTorch is built for CPUs only); take auto or "
        "cpu"
    )


@pytest.mark.parametrize("wanted", ["cuda:63", "cuda:0", "xpu", "mps"])
def test_a_gpu_that_is_not_there_is_refused_and_those_that_are_named(
    monkeypatch: pytest.MonkeyPatch, wanted: str
) -> None:
    seen(monkeypatch, "cuda", ["too old", "", ""])
    message = (
        f"device {wanted} wanted, 2 GPUs found (cuda:1, cuda:2); take one of these, auto or cpu"
    )
    with pytest.raises(ConfigError) as caught:
        choose_device(wanted)
    assert str(caught.value) == message


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "tpu", "", "CPU", "cuda:-1", "cpu:0"])
def test_a_device_of_another_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        choose_device(name)
    names = "auto, cpu, cuda, cuda:N, xpu, xpu:N or mps"
    assert str(caught.value) == f"device must be {names}, got {name!r}"


def test_processes_take_a_gpu_each_unless_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    seen(monkeypatch, "cuda", ["", ""])
    for wanted in ("auto", "cuda"):
        assert [str(choose_device(wanted, rank=rank)) for rank in (0, 1)] == ["cuda:0", "cuda:1"]
    assert str(choose_device("cuda:0", rank=1)) == "cuda:0"
    with pytest.raises(ConfigError, match=r"run\.device auto wanted, 2 GPUs.*fewer processes"):
        choose_device("auto", option="run.device", rank=2)


def test_kinds_that_are_not_wanted_are_no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    seen(monkeypatch, "mps", [""])
    assert choose_device("auto", kinds=("cuda",)) == torch.device("cpu")
    with pytest.raises(ConfigError, match="must be auto, cpu, cuda or cuda:N, got 'mps'"):
        choose_device("mps", kinds=("cuda",))


@pytest.mark.parametrize(
    ("built", "runs"),
    [
        (["sm_75", "sm_80", "sm_90"], True),
        (["sm_90", "sm_100"], False),
        (["sm_70"], False),
        (["sm_70", "compute_70"], True),
        (["sm_89a"], True),
        (["sm_86a"], False),
        (["sm_86"], True),
        (["compute_90"], False),
        (["gfx90a"], False),
    ],
)
def test_code_for_a_card_is_told_from_code_for_others(built: list[str], runs: bool) -> None:
    assert any(_runs(code, (8, 9)) for code in built) is runs


@pytest.mark.parametrize(
    ("kind", "precision"), [("cuda", "fp16"), ("xpu", "fp16"), ("mps", "fp32")]
)
def test_auto_on_a_gpu_is_what_it_is_fast_in(kind: str, precision: str) -> None:
    assert choose_precision("auto", torch.device(kind, 0)) == precision


def test_an_older_pytorch_raises_where_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> None:
        raise RuntimeError("Cannot access accelerator device when none is available.")

    monkeypatch.setattr(torch.accelerator, "current_accelerator", none)
    assert choose_device("auto") == torch.device("cpu")
