"""mm-style configurations: what they say of a network, and what in them is refused."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from streamvsr.errors import ModelError
from streamvsr.models.mm_config import read_mm_config
from tests.test_registry import CONFIG

NET = "model = dict(generator=dict(type='RealBasicVSRNet', num_blocks={}))"


class TestConfigs:
    def read(self, folder: Path, text: str) -> tuple[str, dict[str, str]]:
        path = folder / "config.py"
        path.write_text(text)
        config = read_mm_config(path)
        return config.architecture, dict(config.options)

    def test_ours(self) -> None:
        config = read_mm_config(CONFIG)
        assert config.architecture == "realbasicvsr"
        sizes = {"mid_channels": "64", "num_blocks": "20", "num_cleaning_blocks": "20"}
        assert config.options == sizes | {"dynamic_refine_thres": "255"}

    def test_forms(self, tmp_path: Path) -> None:
        text = """
import os  # passed over
from os import path
width: int = 2 * 16 - 8 // 1
name = f"Real{'Basic'}VSR" + 'Net'
work_dir = os.path.join("a", "b")
for i in range(3):
    other = i
model = {"type": "RealBasicVSR", "generator": dict(type=name, mid_channels=width, spynet_pretrained=work_dir)}
"""
        assert self.read(tmp_path, text) == ("realbasicvsr", {"mid_channels": "24"})

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("model = {'generator': {'type': ['a']}}", r"generator \['a'\] is not supported"),
            ("n = 9\n" + "n = n * n\n" * 40 + NET.format("n"), "num_blocks"),
            (NET.format("0x" + "f" * 5000), "num_blocks"),
            (NET.format("9" * 6000), "limit"),
            ("t = 'xxxxxxxx'\n" + "t = t + t\n" * 40 + NET.format(1), "values"),
            ("t = ['x']\n" + "t = t + t\n" * 40 + NET.format(1), "values"),
            ("t = ['x']\n" + "t = [t, t]\n" * 40 + NET.format("t"), "values"),
            ("t = dict(a=1)\n" + "t = dict(a=t, b=t)\n" * 40 + "other = t\n" + NET.format(1), "values"),
            ("t = 'x'\n" + "t = f'{t}{t}'\n" * 40 + NET.format(1), "values"),
            ("t = [1]\n" + "t = [t]\n" * 300 + NET.format("t"), "has to be a number"),
            (NET.format("-" * 3000 + "1"), "config"),
            (NET.format("1+" * 3000 + "1"), "config"),
            ("_base_ = '/dev/zero'", "no file that a config could stand on"),
            ("_base_ = 'config.py'", "stand on itself"),
            ("_base_ = ['config.py', 'config.py']", "more than 64 files|stand on itself"),
        ],
    )
    def test_configs_made_to_do_harm(self, tmp_path: Path, text: str, message: str) -> None:
        with pytest.raises(ModelError, match=message) as caught:
            self.read(tmp_path, text)
        assert len(str(caught.value)) < 1000

    def test_a_config_through_a_pipe(self, tmp_path: Path) -> None:
        pipe = tmp_path / "config.py"
        os.mkfifo(pipe)
        writer = threading.Thread(target=pipe.write_text, args=(NET.format(3),))
        writer.start()
        assert read_mm_config(pipe).options == {"num_blocks": "3"}
        writer.join()

    def test_bases(self, tmp_path: Path) -> None:
        (tmp_path / "base.py").write_text(
            "model = dict(type='BasicVSR', generator=dict(type='BasicVSRNet', mid_channels=64, num_blocks=30))"
        )
        text = "_base_ = ['./base.py']\nmodel = dict(generator=dict(num_blocks=7))"
        assert self.read(tmp_path, text) == ("basicvsr", {"mid_channels": "64", "num_blocks": "7"})
        text = "_base_ = 'base.py'\nmodel = dict(generator=dict(_delete_=True, type='RealBasicVSRNet'))"
        assert self.read(tmp_path, text) == ("realbasicvsr", {})

    def test_nothing_is_run(self, tmp_path: Path) -> None:
        text = f"open({str(tmp_path / 'owned')!r}, 'w')\nmodel = dict(generator=dict(type='BasicVSRNet'))"
        assert self.read(tmp_path, text)[0] == "basicvsr"
        assert not (tmp_path / "owned").exists()

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("model = build()", "line 1 would have to be run to know the network"),
            ("model = dict(generator=dict(type='BasicVSRNet', num_blocks=int('3')))", "to know num_blocks"),
            ("model = dict(generator=dict(type='BasicVSRNet', num_blocks='3'))", "num_blocks has to be a number"),
            ("model = dict(generator=dict(type='EDVRNet'))", "'EDVRNet' is not supported"),
            ("model = dict(generator=dict(type='BasicVSRNet'))\nmodel['generator'] = 3", "line 2 would have to be run"),
            ("x = 1", "names no network"),
            ("model = (", "line 1: .* an mm config is a Python file"),
            ("\0", "mm config"),
            ("_base_ = 'config.py'", "not stand on itself"),
            ("_base_ = 'absent.py'", "absent.py: cannot be read"),
            ("_base_ = 'https://example.com/base.py'", "a config file beside this one"),
        ],
    )
    def test_errors(self, tmp_path: Path, text: str, message: str) -> None:
        with pytest.raises(ModelError, match=message):
            self.read(tmp_path, text)
