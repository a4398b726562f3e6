"""The table of benchmarks as JSON, and two of them beside each other."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import bench_all
import compare
import pytest


@pytest.fixture
def measured(tmp_path, monkeypatch, capsys):
    """measured(name, ratios) → the JSON of `make bench` whose script gives these ratios."""

    def make(name, **ratios):
        rounds = iter(zip(*ratios.values(), strict=True))

        def rows():
            return [
                (work, "1 ms", "2 ms", f"{ratio}×", "equal")
                for work, ratio in zip(ratios, next(rounds), strict=True)
            ]

        monkeypatch.setitem(sys.modules, "bench_fake", SimpleNamespace(rows=rows))
        count = len(next(iter(ratios.values())))
        path = tmp_path / name
        arguments = ["bench_all.py", "bench_fake", "--json", str(path), "--rounds", str(count)]
        monkeypatch.setattr(sys, "argv", arguments)
        bench_all.main()
        return path

    return make


def test_the_json_has_the_machine_and_the_ratios_of_all_rounds(measured, capsys):
    content = json.loads(measured("a.json", crf=[4.0, 5.0]).read_text())
    assert "| crf | 1 ms | 2 ms | 4.50× | equal |" in capsys.readouterr().out
    (row,) = content["rows"]
    assert (row["work"], row["ratio"], row["ratios"]) == ("crf", "4.50×", [4.0, 5.0])
    machine = content["machine"]
    assert machine["cpu"]
    assert machine["cores"] >= 1
    assert len(machine["load"]) == 2
    assert {"python", "system", "numpy", "torch"} <= set(machine)


def test_changes_beyond_the_noise_are_marked(measured, capsys):
    old = measured("old.json", crf=[4.0, 4.4], maps=[2.0, 2.4], refine=[1.0, 1.02], gone=[1, 1])
    new = measured("new.json", crf=[6.0, 6.6], maps=[1.4, 1.6], refine=[1.05, 1.06], more=[3, 3])
    capsys.readouterr()
    assert compare.main([str(old), str(new)]) == 0
    lines = {
        line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:-1]]
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("|")
    }
    assert lines["crf"] == ["4.00–4.40×", "6.00–6.60×", "1.50", "faster"]
    assert lines["maps"] == ["2.00–2.40×", "1.40–1.60×", "0.68", "slower"]
    assert lines["refine"] == ["1.00–1.02×", "1.05–1.06×", "1.04", ""]
    assert lines["gone"] == ["1.00×", "–", "–", ""]
    assert lines["more"] == ["–", "3.00×", "–", ""]


def test_overlapping_rounds_are_noise(measured):
    assert compare.verdict([4.0, 6.0], [5.9, 9.0]) == ""
    assert compare.verdict([4.0, 6.0], [1.0, 4.1]) == ""


def test_other_machines_are_listed(measured, capsys):
    old = measured("old.json", crf=[1.0])
    content = json.loads(old.read_text())
    content["machine"]["numba"] = "0.1"
    new = old.with_name("new.json")
    new.write_text(json.dumps(content))
    capsys.readouterr()
    compare.main([str(old), str(new)])
    assert "→ 0.1" in capsys.readouterr().out


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"machine": {}, "rows": [{}]}', None])
def test_what_is_not_such_a_file_is_one_line(tmp_path, capsys, content):
    path = tmp_path / "x.json"
    if content is not None:
        path.write_text(content)
    assert compare.main([str(path), str(path)]) == 1
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert str(path) in message
    assert compare.main([]) == 2
