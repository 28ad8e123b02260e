"""A file is the old one or the new one, whole, and nothing is left beside it."""

import errno
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

import tflite
from tflite.files import writing


def start(code: str, *words: object) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(tflite.__file__).parents[1])},
    )


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- Whole or not at all -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["net.tflite", "best.keras", "v2.weights.h5", "no_ending"])
def test_a_library_gets_a_path_that_ends_as_the_final_one_does(tmp_path, name):
    with writing.replacing(tmp_path / name) as temporary:
        assert temporary.name.endswith(f".{name}")
        assert temporary.parent == tmp_path
        temporary.write_bytes(b"new")
        assert not (tmp_path / name).exists()
    assert names(tmp_path) == [name]
    assert (tmp_path / name).read_bytes() == b"new"


def write_half(path: Path, error: BaseException) -> None:
    with writing.atomic_writer(path) as file:
        file.write(b"half of the n")
        raise error


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt, SystemExit])
def test_an_error_inside_leaves_the_old_file_and_nothing_else(tmp_path, error):
    (tmp_path / "net").write_bytes(b"old")
    with pytest.raises(error):
        write_half(tmp_path / "net", error())
    assert names(tmp_path) == ["net"]
    assert (tmp_path / "net").read_bytes() == b"old"


def test_a_failed_rename_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    out = tmp_path / "net.tflite"
    out.write_bytes(b"the old file")

    def refuse(*_):
        raise PermissionError("no")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(PermissionError), writing.atomic_writer(out) as file:
        file.write(b"the new file")
    assert [p.name for p in tmp_path.iterdir()] == ["net.tflite"]
    assert out.read_bytes() == b"the old file"


@pytest.mark.parametrize("save", ["replacing", "atomic_writer", "write_bytes"])
def test_the_content_is_on_the_disk_before_the_name_and_the_name_after(tmp_path, monkeypatch, save):
    done = []
    rename, sync = os.replace, os.fsync

    def spy_on_sync(handle):
        done.append(Path(os.readlink(f"/proc/self/fd/{handle}")))
        sync(handle)

    def spy_on_rename(old, new):
        done.append("rename")
        rename(old, new)

    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("the names of open files are not known here")
    monkeypatch.setattr(os, "fsync", spy_on_sync)
    monkeypatch.setattr(os, "replace", spy_on_rename)
    out = tmp_path / "net"
    if save == "replacing":
        with writing.replacing(out) as temporary:
            temporary.write_bytes(b"new")
    elif save == "atomic_writer":
        with writing.atomic_writer(out) as file:
            file.write(b"new")
    else:
        writing.write_bytes(out, b"new")
    temporary, *others = done
    assert temporary.name.endswith(".net")
    assert others == ["rename", tmp_path]


def test_a_link_stays_a_link_and_what_it_points_to_is_written(tmp_path):
    (tmp_path / "versions").mkdir()
    (tmp_path / "versions" / "2.tflite").write_bytes(b"old")
    link = tmp_path / "newest.tflite"
    link.symlink_to(Path("versions", "2.tflite"))
    writing.write_bytes(link, b"new")
    assert link.is_symlink()
    assert (tmp_path / "versions" / "2.tflite").read_bytes() == b"new"
    assert names(tmp_path / "versions") == ["2.tflite"]


# --- A killed process --------------------------------------------------------------------------

_WRITER = """
    import os, resource, signal, sys
    from tflite.files import writing
    kind, path = sys.argv[1:]
    if kind == "full":
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
    with writing.atomic_writer(path) as file:
        for _ in range(8):
            file.write(b"n" * (1 << 15))
            file.flush()
        if kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "wait":
            print("half", flush=True)
            sys.stdin.read()
"""


@pytest.mark.parametrize("before", [None, b"the old file"])
@pytest.mark.parametrize("kind", ["kill", "full"])
def test_a_crash_or_a_full_disk_leaves_the_old_file_or_none(tmp_path, kind, before):
    out = tmp_path / "net.tflite"
    if before is not None:
        out.write_bytes(before)
    ended = start(_WRITER, kind, out)
    _, said = ended.communicate(timeout=120)
    assert ended.returncode == (-signal.SIGKILL if kind == "kill" else 1)
    assert (out.read_bytes() if out.exists() else None) == before
    if kind == "full":
        assert "File too large" in said
        assert names(tmp_path) == ([out.name] if before else [])


@pytest.mark.parametrize("next_start", ["save", "check"])
def test_what_a_killed_process_left_goes_with_the_next_start(tmp_path, next_start):
    out = tmp_path / "net.tflite"
    other = tmp_path / "other.tflite"
    for path in (out, other):
        start(_WRITER, "kill", path).communicate(timeout=120)
    assert len(names(tmp_path)) == 2, "the case that this is about"
    if next_start == "save":
        writing.write_bytes(out, b"new")
    else:
        writing.check_writable(out)
    left = [name for name in names(tmp_path) if name != out.name]
    assert len(left) == 1
    assert left[0].endswith(f".{other.name}")


def test_what_another_process_is_writing_is_left_alone(tmp_path):
    out = tmp_path / "net.tflite"
    other = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(_WRITER), "wait", str(out)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(tflite.__file__).parents[1])},
    )
    assert other.stdout.readline() == "half\n"
    writing.write_bytes(out, b"ours")
    assert len(names(tmp_path)) == 2
    other.communicate("", timeout=120)
    assert other.returncode == 0
    assert out.read_bytes() == b"n" * (8 << 15)
    assert names(tmp_path) == [out.name]


def test_threads_that_save_to_one_path_do_not_meet(tmp_path):
    out = tmp_path / "net"
    contents = [bytes([index]) * (1 << 16) for index in range(8)]
    threads = [
        threading.Thread(target=writing.write_bytes, args=(out, content)) for content in contents
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert out.read_bytes() in contents
    assert names(tmp_path) == ["net"]


def test_a_process_that_has_the_killed_ones_number_removes_its_file(tmp_path):
    """In a container that is started anew, the program has the number that it had before."""
    out = tmp_path / "net"
    with writing.replacing(out) as temporary:
        temporary.touch()
        leftover = tmp_path / re.sub(r"-[0-9a-f]{8}\.net$", "-00000000.net", temporary.name)
    leftover.touch()
    writing.write_bytes(out, b"new")
    assert names(tmp_path) == ["net"]


# --- What is refused, and what is said then ----------------------------------------------------


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_what_the_disk_refuses_names_the_file_and_a_way_out(tmp_path, number):
    out = tmp_path / "net.tflite"
    with pytest.raises(OSError, match=re.escape(f"cannot write {out}: ")) as caught:
        write_half(out, OSError(number, os.strerror(number)))
    assert caught.value.errno == number
    assert os.strerror(number) in str(caught.value)
    assert "ive a path" in str(caught.value)
    assert type(caught.value) is type(OSError(number, ""))
    assert names(tmp_path) == []


def test_an_error_about_another_file_stays_as_it_is(tmp_path):
    with pytest.raises(PermissionError, match=r"other\.png"):
        write_half(tmp_path / "net", PermissionError(errno.EACCES, "no", "other.png"))


@pytest.fixture(params=["pipe", "socket", "device", "link to a device"])
def node(request, tmp_path):
    path = tmp_path / "node"
    if request.param == "pipe":
        os.mkfifo(path)
        yield path
    elif request.param == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
            yield path
    elif request.param == "device":
        yield Path(os.devnull)
    else:
        path.symlink_to(os.devnull)
        yield path


@pytest.mark.skipif(os.name != "posix", reason="such files are POSIX's")
def test_a_device_a_pipe_or_a_socket_is_refused_and_stays(node):
    before = os.stat(node)
    for write in (writing.check_writable, lambda path: writing.write_bytes(path, b"new")):
        with pytest.raises(OSError, match=f"{node} is a device, a pipe or a socket"):
            write(node)
    assert os.stat(node).st_mode == before.st_mode
    assert os.stat(node).st_ino == before.st_ino


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ("nowhere/net", FileNotFoundError, "nowhere does not exist; make it first"),
        ("file/net", NotADirectoryError, "file is a file, so net cannot be written in it"),
        ("folder", IsADirectoryError, "folder is a folder; give the path of the file to write"),
    ],
)
def test_a_path_that_cannot_be_a_file_is_named_by_both(tmp_path, path, error, message):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for write in (writing.check_writable, lambda path: writing.write_bytes(path, b"new")):
        with pytest.raises(error, match=message):
            write(tmp_path / path)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="no read-only folder known here")
def test_a_read_only_folder_is_named_with_the_file():
    """/proc refuses new files even to root."""
    with pytest.raises(PermissionError, match=r"folder /proc is not writable.*/proc/x cannot"):
        writing.check_writable("/proc/x")
