"""What benchmark_model prints, as it was recorded of several versions and devices."""

import os
import stat

import pytest

from tflite.measuring import phone

# MobileNetV1 in an emulator, 2021: four lines of log between the ones that count are left out.
OLD = """\
STARTING!
Num threads: [4]
Graph: [./mobilenet_v1_1.0_224.tflite]
Loaded model ./mobilenet_v1_1.0_224.tflite
The input model file size (MB): 16.9008
Initialized session in 17.187ms.
Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding 150
count=1 curr=3512391

Running benchmark for at least 50 iterations and at least 1 seconds but terminate if exceeding 150
count=50 first=2990275 curr=2913402 min=2727568 max=3189954 avg=2.95034e+06 std=109798

Inference timings in us: Init: 17187, First inference: 3512391, Warmup (avg): 3.51239e+06, \
Inference (avg): 2.95034e+06
Note: as the benchmark tool itself affects memory footprint, the following is only APPROXIMATE
Memory footprint delta from the start of the tool (MB): init=4.21094 overall=46.0859
"""

# YOLOv5 on a phone, by a benchmark_model of 2020.
OLDER = """\
count=50 first=249042 curr=250889 min=247067 max=254474 avg=249684 std=1442
Inference timings in us: Init: 16242, First inference: 360262, Warmup (avg): 304586, \
Inference (avg): 249684
Peak memory footprint (MB): init=4.92969 overall=138.809
"""

# A phone's log, by one of 2024: with logcat's prefix, and percentiles.
NEW = """\
I tflite  : count=3 first=240021 curr=191003 min=191003 max=240021 avg=211669 std=20555
I tflite  : count=25 first=187533 curr=140990 min=140071 max=195121 avg=145528 std=13583 \
p5=140545 median=141253 p95=187533
I tflite  : Inference timings in us: Init: 92318, First inference: 187533, Warmup (avg): 211669, \
Inference (avg): 145528
I tflite  : Memory footprint delta from the start of the tool (MB): init=54.2852 overall=73.4102
"""


def test_timings_of_an_old_tool_are_those_after_warming_up():
    assert phone.read_output(OLD) == phone.PhoneTiming(
        average=pytest.approx(2950.34),
        deviation=pytest.approx(109.798),
        least=pytest.approx(2727.568),
        most=pytest.approx(3189.954),
        median=None,
        p5=None,
        p95=None,
        initialization=pytest.approx(17.187),
        first=pytest.approx(3512.391),
        runs=50,
        memory_bytes=round(46.0859 * 2**20),
    )
    assert phone.read_output(OLDER).memory_bytes == round(138.809 * 2**20)


def test_a_new_tool_tells_percentiles_and_logcat_puts_words_before_them():
    found = phone.read_output(NEW)
    assert (found.median, found.p5, found.p95) == pytest.approx((141.253, 140.545, 187.533))
    assert (found.average, found.runs) == (pytest.approx(145.528), 25)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("STARTING!\nERROR: Could not open 'a.tflite'.\nFailed to load", "Could not open 'a.tfl"),
        ("", "it printed no timings"),
        ("Inference timings in us: Init: 1, First inference: 2", "no timings"),
    ],
)
def test_output_without_a_result_is_refused_with_its_reason(text, reason):
    with pytest.raises(ValueError, match=reason):
        phone.read_output(text)


@pytest.fixture
def adb(tmp_path, monkeypatch):
    """An adb that notes what it is told and answers by a script."""

    def install(script: str):
        program = tmp_path / "adb"
        program.write_text(f'#!/bin/sh\necho "$*" >> {tmp_path}/calls\n{script}\n')
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        (tmp_path / "net.tflite").write_bytes(b"a model")
        return tmp_path / "net.tflite"

    return install


def test_a_file_goes_to_the_phone_and_is_taken_away_again(adb, tmp_path):
    (tmp_path / "output").write_text(NEW)
    path = adb(f'case "$*" in *--graph*) cat {tmp_path}/output;; esac')
    assert phone.time_on_phone(path, threads=4, runs=25).median == pytest.approx(141.253)
    look, push, timing, remove = (tmp_path / "calls").read_text().splitlines()
    copy = push.split()[-1]
    assert look == "shell ls /data/local/tmp/benchmark_model"
    assert push == f"push {path} {copy}"
    assert f"--graph={copy} --num_threads=4 --num_runs=25" in timing
    assert remove == f"shell rm -f {copy}"


def test_what_is_missing_is_said_with_how_to_get_it(adb, tmp_path, monkeypatch):
    path = adb("echo 'error: no devices/emulators found'; exit 1")
    with pytest.raises(RuntimeError, match="no devices/emulators found"):
        phone.time_on_phone(path)
    adb("echo 'ls: /data/local/tmp/benchmark_model: No such file or directory'; exit 1")
    with pytest.raises(RuntimeError, match="android_aarch64_benchmark_model"):
        phone.time_on_phone(path)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(RuntimeError, match="adb is not on PATH"):
        phone.time_on_phone(path)
