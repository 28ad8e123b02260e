"""What C++ code says on standard error is kept back, told, and never lost."""

import os
import subprocess
import sys
import threading

import pytest

from tflite import native_output


def _says(*lines: str) -> None:
    os.write(2, "".join(f"{line}\n" for line in lines).encode())


def test_every_line_of_the_block_goes_to_the_handler_and_none_to_standard_error(capfd):
    lines = []
    with native_output.intercepted(lines.append):
        _says("one", "two")
    assert lines == ["one", "two"]
    _says("after")
    assert capfd.readouterr() == ("", "after\n")


def test_lines_are_told_when_the_block_fails(capfd):
    def fail():
        with native_output.intercepted(native_output.pass_on):
            _says("ERROR: a reason")
            raise RuntimeError("failed")

    with pytest.raises(RuntimeError, match="failed"):
        fail()
    assert capfd.readouterr().err == "ERROR: a reason\n"


def test_blocks_may_stand_in_each_other(capfd):
    outer, inner = [], []
    with native_output.intercepted(outer.append):
        _says("a")
        with native_output.intercepted(inner.append):
            _says("b")
        _says("c")
    assert (outer, inner) == (["a", "c"], ["b"])
    assert capfd.readouterr().err == ""


def test_many_threads_lose_no_line_and_leave_standard_error_in_place(capfd):
    lines = []

    def work(number):
        for _ in range(20):
            with native_output.intercepted(lines.append):
                _says(f"thread {number}")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(lines) == sorted(f"thread {n}" for n in range(8) for _ in range(20))
    _says("still here")
    assert capfd.readouterr().err == "still here\n"


def _python(code: str, **kwargs) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, **kwargs
    )


@pytest.mark.parametrize("ends", ["os.close(2)", "sys.stderr = None", "sys.stderr.close()"])
def test_a_process_without_standard_error_goes_on(ends):
    done = _python(
        "import os, sys\n"
        "from tflite import native_output\n"
        f"{ends}\n"
        "with native_output.intercepted(native_output.pass_on):\n"
        "    print('done')\n"
        "native_output.pass_on('nobody hears')\n"
    )
    assert (done.returncode, done.stdout) == (0, "done\n")


def test_without_a_place_for_temporary_files_nothing_is_kept_back(monkeypatch, capfd):
    def full(*args, **kwargs):
        raise OSError("no place")

    monkeypatch.setattr(native_output.tempfile, "TemporaryFile", full)
    with native_output.intercepted(lambda line: None):
        _says("heard")
    assert capfd.readouterr().err == "heard\n"
