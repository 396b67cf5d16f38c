"""Checkpoints of both families load strictly, as the network they are for."""

from __future__ import annotations

import hashlib
import random
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import golden
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from vsr.errors import CheckpointFormatError, ChecksumError, ConfigError, WeightsError
from vsr.files import sha256
from vsr.models.catalogue import PUBLISHED
from vsr.models.published import Family, published_name, read_named, read_published
from vsr.models.zoo import (
    ARCHITECTURES,
    card,
    find_model,
    load_model,
    load_network,
    parameters,
    published_model,
    table,
)

SHAPES: dict[str, dict[str, Any]] = {
    "basicvsr": {"channels": 16, "blocks": 2},
    "basicvsr_pp": {"scale": 4, "channels": 16, "blocks": 1},
    "realbasicvsr": {"channels": 16, "blocks": 1, "cleaning_blocks": 2},
}


def network(architecture: str, **changes: int) -> nn.Module:
    return golden.fill(ARCHITECTURES[architecture](**SHAPES[architecture] | changes), "mmagic")


def named(own: nn.Module, family: Family) -> dict[str, Tensor]:
    """Its weights as the family names them."""
    return {
        published_name(name, family, own): value.contiguous()
        for name, value in own.state_dict().items()
    }


def saved(path: Path, content: object) -> str:
    torch.save(content, path)
    return str(path)


def same(path: str, own: nn.Module) -> bool:
    lq = torch.rand(1, 2, 3, 16, 20)
    return torch.equal(load_model(path)(lq)[0], own(lq)[0])


@pytest.mark.parametrize("family", ["basicsr", "mmagic"])
@pytest.mark.parametrize("architecture", list(SHAPES))
def test_a_network_saved_under_a_familys_names_is_loaded_again(
    architecture: str, family: Family, tmp_path: Path
) -> None:
    own = network(architecture)
    path = saved(tmp_path / "net.pth", {"params": named(own, family)})
    info = find_model(path)
    assert (info.architecture, info.scale) == (architecture, 4)
    assert info.hyper_parameters == SHAPES[architecture]
    assert same(path, own)


def test_restoration_is_told_from_upscaling_by_its_layers(tmp_path: Path) -> None:
    own = network("basicvsr_pp", scale=1)
    path = saved(tmp_path / "net.pth", {"state_dict": named(own, "mmagic")})
    assert find_model(path).scale == 1
    assert same(path, own)


@pytest.mark.parametrize(
    ("architecture", "family", "shape", "digest"),
    [
        ("basicvsr", "basicsr", {}, "6c84d44e791083a1"),
        ("basicvsr", "mmagic", {}, "150eecd5a352a22c"),
        ("basicvsr", "mmagic", {"blocks": 20}, "68c44781fe12b261"),
        ("basicvsr_pp", "basicsr", {}, "f66e6af99fecbf40"),
        ("basicvsr_pp", "mmagic", {}, "cfd585e9e2485a5b"),
        ("basicvsr_pp", "mmagic", {"channels": 128, "blocks": 25}, "5ed483ceccc7b92c"),
        ("basicvsr_pp", "mmagic", {"scale": 1, "channels": 128, "blocks": 25}, "370501a3b26be1f2"),
        ("basicvsr_pp", "mmagic", {"scale": 1, "blocks": 15}, "618334c2ecec3741"),
        ("realbasicvsr", "mmagic", {}, "06fbef611c463c0b"),
    ],
)
def test_names_and_shapes_are_those_of_the_published_files(
    architecture: str, family: Family, shape: dict[str, Any], digest: str
) -> None:
    """The digest is of the lines "name shape", sorted, as listed from the originals."""
    with torch.device("meta"):
        own = ARCHITECTURES[architecture](**shape)
    shapes = sorted((name, tuple(value.shape)) for name, value in named(own, family).items())
    lines = "\n".join(f"{name} {size}" for name, size in shapes)
    assert hashlib.sha256(lines.encode()).hexdigest()[:16] == digest


def test_averaged_weights_win(tmp_path: Path) -> None:
    averaged, last = network("basicvsr"), network("basicvsr")
    last.get_parameter("tail.8.bias").data += 1
    basicsr = {"params": named(last, "basicsr"), "params_ema": named(averaged, "basicsr")}
    assert same(saved(tmp_path / "basicsr.pth", basicsr), averaged)
    weights = {f"generator.{name}": value for name, value in named(last, "mmagic").items()}
    weights |= {f"generator_ema.{name}": value for name, value in named(averaged, "mmagic").items()}
    assert same(saved(tmp_path / "mmagic.pth", {"state_dict": weights}), averaged)


def test_leftovers_of_training_and_wrappers_are_passed_over(tmp_path: Path) -> None:
    own = network("realbasicvsr")
    weights = {f"generator.{name}": value for name, value in named(own, "mmagic").items()}
    weights |= {
        "step_counter": torch.zeros(1),
        "discriminator.conv.weight": torch.zeros(3),
        "perceptual_loss.vgg.mean": torch.zeros(3),
    }
    content = {"meta": {"epoch": 3, "config": "..."}, "state_dict": weights}
    assert same(saved(tmp_path / "mmagic.pth", content), own)
    parallel = {f"module.{name}": value for name, value in named(own, "basicsr").items()}
    assert same(saved(tmp_path / "parallel.pth", parallel), own)


def test_constants_may_be_absent(tmp_path: Path) -> None:
    own = network("basicvsr")
    weights = named(own, "mmagic")
    del weights["spynet.mean"], weights["spynet.std"]
    assert same(saved(tmp_path / "net.pth", {"state_dict": weights}), own)


def test_safetensors_with_published_names_load_too(tmp_path: Path) -> None:
    own = network("basicvsr_pp")
    save_file(named(own, "mmagic"), tmp_path / "net.safetensors")
    assert same(str(tmp_path / "net.safetensors"), own)


@pytest.mark.parametrize("architecture", list(SHAPES))
def test_missing_surplus_and_misshapen_tensors_are_named(architecture: str, tmp_path: Path) -> None:
    weights = named(network(architecture), "mmagic")
    prefix = "basicvsr." if architecture == "realbasicvsr" else ""
    del weights[f"{prefix}conv_hr.bias"]
    weights[f"{prefix}conv_last.bias"] = torch.zeros(4)
    weights["extra.weight"] = torch.zeros(1)
    path = saved(tmp_path / "net.pth", {"state_dict": weights})
    with pytest.raises(CheckpointFormatError) as caught:
        load_model(path)
    for part in ("missing", "conv_hr.bias", "surplus extra.weight", r"is (4,), wanted (3,)"):
        assert part in str(caught.value)


class Trap:
    """What an evil file holds: unpickling it would run code."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("trapped"),))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"state_dict": {"a": Trap()}}, r"code \(not run\) as a"),
        (Trap(), r"holds code \(not run\),"),
        ({"params": {"edvr.conv_first.weight": torch.zeros(1)}}, "IconVSR"),
        ({"params": {"fusion.weight": "text"}}, "str as fusion.weight"),
        ({"params": {"fusion.weight": torch.zeros(1)}}, "lacks backward_resblocks"),
        ([1, 2], "holds a list"),
        ({}, "holds nothing"),
    ],
)
def test_other_files_are_refused_with_the_reason(
    content: object, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = saved(tmp_path / "net.pth", content)
    with pytest.raises(CheckpointFormatError, match=said):
        find_model(path)
    assert not Path("trapped").exists()


def test_what_training_left_in_a_file_beside_the_weights_is_neither_run_nor_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """mmengine saves buffers of its log and states of optimisers, objects of its own."""
    monkeypatch.chdir(tmp_path)
    own = network("basicvsr")
    weights = {f"generator.{name}": value for name, value in named(own, "mmagic").items()}
    parts = {"message_hub": {"loss": Trap(), "time": [Counter("ab")]}, "meta": {"seed": Trap()}}
    assert same(saved(tmp_path / "net.pth", {"state_dict": weights, **parts}), own)
    assert not Path("trapped").exists()


def test_a_program_is_not_a_checkpoint(tmp_path: Path) -> None:
    path = Path(saved(tmp_path / "net.pth", Trap()))
    with zipfile.ZipFile(path, "a") as file:  # by which torch tells TorchScript
        file.writestr("net/constants.pkl", b"")
    with pytest.raises(CheckpointFormatError, match="is TorchScript, a program"):
        read_published(path)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut", b"\x80\x02}"])
def test_files_that_are_no_checkpoint_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointFormatError, match=r"net\.pth"):
        read_published(path)


@pytest.mark.parametrize("archive", [True, False])
def test_damaged_files_are_read_or_refused_and_nothing_else(archive: bool, tmp_path: Path) -> None:
    path, rng = tmp_path / "net.pth", random.Random(0)
    torch.save({"a": torch.ones(3)}, path, _use_new_zipfile_serialization=archive)
    whole, refused = path.read_bytes(), 0
    for _ in range(60):
        damaged = bytearray(whole)
        for _ in range(3):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        path.write_bytes(damaged)
        try:
            read_named(path)
        except CheckpointFormatError:
            refused += 1
    assert refused > 20


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no weight file"):
        find_model(str(tmp_path / "none.pth"))


def test_a_published_model_that_is_not_here_says_where_it_is_and_where_it_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VSR_CACHE", str(tmp_path))
    with pytest.raises(WeightsError) as caught:
        find_model("basicvsr-pp-reds4")
    entry = PUBLISHED["basicvsr-pp-reds4"]
    for part in ("vsr models download", entry.address, str(tmp_path / "weights" / entry.file_name)):
        assert part in str(caught.value)


def test_a_cached_file_that_is_not_the_published_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VSR_CACHE", str(tmp_path))
    path = tmp_path / "weights" / PUBLISHED["basicvsr-reds4"].file_name
    path.parent.mkdir()
    saved(path, {"params": named(network("basicvsr"), "mmagic")})
    with pytest.raises(ChecksumError, match="not 0e599677"):
        load_network(find_model("basicvsr-reds4"))


def test_a_published_file_is_recognised_wherever_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path / "renamed.pth", {"params": named(network("realbasicvsr"), "mmagic")})
    entry = replace(
        PUBLISHED["realbasicvsr-wogan"],
        digest=sha256(Path(path)),
        hyper_parameters=SHAPES["realbasicvsr"] | {"threshold": 1.5},
    )
    monkeypatch.setitem(PUBLISHED, "realbasicvsr-wogan", entry)  # type: ignore[arg-type]
    info = find_model(path)
    assert info.degradation == "real"
    assert load_network(info).threshold == 1.5  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_the_catalogue_agrees_with_the_networks(name: str) -> None:
    entry, info = PUBLISHED[name], published_model(name)
    with torch.device("meta"):
        built = ARCHITECTURES[info.architecture](**info.hyper_parameters)
    assert sum(p.numel() for p in built.parameters()) == entry.parameters
    assert built.scale == info.scale
    assert entry.address.startswith("https://")
    assert entry.file_name.removesuffix(".pth").endswith(entry.digest[:8])
    text = card(name)
    assert entry.address in text
    short = len(entry.digest) < 64
    assert (f"sha256        begins with {entry.digest}" in text) == short
    told = (
        Path(__file__)
        .parents[2]
        .joinpath("docs", "networks.md")
        .read_text()
        .partition("its first eight digits")[2]
    )
    assert (f"`{name}`" in told.partition("\n\n")[0]) == short


def test_the_list_names_published_models_and_what_they_are_for() -> None:
    text = table()
    assert all(name in text for name in PUBLISHED)
    assert "Real footage" in text


def test_a_checkpoints_card_counts_its_weights(tmp_path: Path) -> None:
    own = network("basicvsr")
    path = saved(tmp_path / "net.pth", {"params": named(own, "basicsr")})
    count = sum(p.numel() for p in own.parameters())
    assert parameters(find_model(path)) == count
    assert f"{count:,}" in card(path)


def test_an_unknown_name_lists_published_ones_too() -> None:
    with pytest.raises(ConfigError, match="basicvsr-pp-reds4"):
        find_model("edvr")
