"""Files side by side: what is measured of each, and what is said of the processor."""

import json

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from slimnets.benchmark import race
from slimnets.benchmark.race import Benchmark, Result
from slimnets.cli import benchmark as command
from slimnets.cli import running
from tests.helpers.flatgraph import FlatGraph, conv_options
from tflite.measuring.processor import Processor
from tflite.measuring.timing import Timing


def network(kind: str, batch: int = 1) -> bytes:
    """A convolution of 16·16·9·3·8 multiply–accumulates an image."""
    graph = FlatGraph()
    x = graph.input((batch, 16, 16, 3), kind)
    weights = graph.weights(8, 3, 3, 3, dtype=kind)
    bias = graph.constant(np.zeros(8), "int32" if kind == "int8" else kind)
    output = graph.activation((batch, 16, 16, 8), kind)
    graph.op("CONV_2D", [x, weights, bias], output, conv_options(padding=schema.Padding.SAME))
    return graph.bytes()


@pytest.fixture
def files(tmp_path):
    for kind in ("float32", "int8"):
        (tmp_path / f"{kind}.tflite").write_bytes(network(kind))
    return [tmp_path / "float32.tflite", tmp_path / "int8.tflite"]


def test_every_file_is_measured_on_every_number_of_threads(files, tmp_path):
    (tmp_path / "two.tflite").write_bytes(network("int8", batch=2))
    found = race.benchmark([*files, tmp_path / "two.tflite"], threads=(1, 2), runs=3, memory=False)
    assert [(r.numbers, r.batch, r.threads) for r in found.results] == [
        (numbers, batch, threads)
        for threads in (1, 2)
        for numbers, batch in (("float32", 1), ("int8", 1), ("int8", 2))
    ]
    macs = 16 * 16 * 27 * 8
    assert [result.macs for result in found.results[:3]] == [macs, macs, 2 * macs]
    for result in found.results:
        assert result.timing.runs == 3
        assert result.images_per_second == pytest.approx(1e3 * result.batch / result.timing.median)
        speed = result.macs / (result.timing.median * 1e-3) / 1e9
        assert result.gmacs_per_second == pytest.approx(speed)
        peak = found.peaks[result.threads][result.numbers]
        assert result.peak_share == pytest.approx(speed / peak)
    json.dumps(found.to_dict())


def test_memory_is_what_a_process_of_its_own_grows_by(tmp_path):
    """A file whose one activation takes 64 MiB, beside a small one."""
    for name, side in (("small", 8), ("large", 4096)):
        graph = FlatGraph()
        x = graph.input((1, side, side, 1), "float32")
        graph.op("LOGISTIC", [x], graph.activation((1, side, side, 1), "float32"))
        (tmp_path / f"{name}.tflite").write_bytes(graph.bytes())
    small, large = (race.peak_memory(tmp_path / f"{n}.tflite") for n in ("small", "large"))
    assert small < 16 << 20 < 120 << 20 < large < 400 << 20


def result(numbers: str, median: float, macs: int = 10**9, threads: int = 1) -> Result:
    timing = Timing(median, median, median, 9)
    name = f"{numbers}_{median}.tflite"
    return Result(name, ".tflite", numbers, 1, macs, 1, threads, timing, None, None)


def advice(*results: Result, features: tuple[str, ...] = ("AVX2",)) -> str:
    peaks = {1: {"float32": 50.0, "int8": 100.0}}
    return Benchmark(Processor("a processor", 2, features), peaks, results).advice


def test_advice_names_the_fastest_and_whether_int8_pays():
    said = advice(result("float32", 4.0), result("int8", 2.0), features=("AVX2", "AVX512-VNNI"))
    assert said == (
        "Fastest here is int8_2.0.tflite (2.00 ms, 1 thread); int8 pays on this processor "
        "(AVX512-VNNI): 0.50 × float32's time"
    )
    said = advice(result("float32", 4.0), result("int8", 5.0))
    assert "Fastest here is float32_4.0" in said
    assert "costs time on this processor, which has no integer dot products: 1.25 ×" in said
    assert "is as fast as float32" in advice(result("float32", 4.0), result("int8", 4.1))


def test_only_files_of_one_network_are_compared():
    said = advice(result("float32", 4.0), result("int8", 1.0, macs=2 * 10**9))
    assert "a matrix product takes 0.50 × float32's time in int8" in said
    # Two pairs: the geometric mean of 0.5 and 0.125.
    pairs = [result("float32", 4.0), result("int8", 2.0)]
    pairs += [result("float32", 8.0, macs=10**10), result("int8", 1.0, macs=10**10)]
    assert "0.25 × float32's time" in advice(*pairs)


def slimnets_benchmark(*words: object) -> int:
    return running.run("benchmark", command, [*map(str, words)])


def test_the_command_prints_a_table_a_picture_and_one_line_of_advice(files, capfd, tmp_path):
    picture = tmp_path / "race.png"
    assert slimnets_benchmark(*files, "--threads=1", "--runs=3", f"--plot={picture}") == 0
    printed = capfd.readouterr().out
    assert "int8.tflite" in printed
    assert "Fastest here is" in printed
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert slimnets_benchmark(files[0], "--threads=1", "--runs=3", "--json") == 0
    printed = json.loads(capfd.readouterr().out)
    assert printed["files"][0]["peak_memory_bytes"] > 0
    assert printed["files"][0]["timing"]["runs"] == 3
    assert printed["processor"]["cores"] >= 1


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ((), 2, "takes model files or networks' names"),
        (("a.tflite", "--threads=two"), 2, "--threads takes numbers"),
        (("mobilenet_v1", "--precision=int4"), 2, "--precision takes float32"),
        (("a.tflite", "--adb", "--plot=x.png"), 2, "--adb goes with"),
        (("mobilenet_v9",), 1, "no network is called 'mobilenet_v9'. Did you mean"),
        (("missing.tflite",), 1, "no model file missing.tflite"),
    ],
)
def test_wrong_words_are_told(words, code, message, capfd):
    assert slimnets_benchmark(*words) == code
    assert message in capfd.readouterr().err


def test_a_delegate_that_is_not_there_is_told_with_how_to_get_it(files, capfd):
    assert slimnets_benchmark(files[0], "--delegate=libedgetpu.so.1") == 1
    assert "apt-get install libedgetpu1-std" in capfd.readouterr().err


@pytest.mark.slow
def test_a_networks_name_is_a_file_for_each_precision(capfd):
    words = ("mobilenet_v1_025", "--size=32", "--threads=1", "--runs=3", "--json")
    assert slimnets_benchmark(*words) == 0
    printed = json.loads(capfd.readouterr().out)
    assert [row["numbers"] for row in printed["files"]] == ["float32", "int8"]
    import slimnets

    model = slimnets.mobilenet_v1_025((32, 32, 3))
    assert {row["macs"] for row in printed["files"]} == {slimnets.complexity(model).macs}
