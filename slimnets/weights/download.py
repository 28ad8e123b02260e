"""Files from the network, once: cached, resumed, checked by SHA-256, and replaceable by hand.

The cache folder is `SLIMNETS_HOME` (default `~/.cache/slimnets`). With `SLIMNETS_OFFLINE=1` nothing
is ever downloaded; without a network, or offline, the error says which file to put where.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import lzma
import os
import re
import shutil
import tarfile
import tempfile
import urllib.error
import urllib.parse
import urllib.request
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from absl import logging

from tflite import progress
from tflite.files.writing import put_in_place

_TIMEOUT_SECONDS = 30
_ATTEMPTS = 3
_CHUNK_BYTES = 1 << 16


def cache_folder() -> Path:
    """`$SLIMNETS_HOME`, or `~/.cache/slimnets`. Not created here."""
    home = os.environ.get("SLIMNETS_HOME")
    return Path(home).expanduser() if home else Path.home() / ".cache" / "slimnets"


def is_offline() -> bool:
    """Whether `SLIMNETS_OFFLINE` is set (to anything but "", "0" or "false")."""
    return os.environ.get("SLIMNETS_OFFLINE", "").lower() not in ("", "0", "false")


def fetch(url: str, sha256: str | None = None, name: str | None = None) -> Path:
    """The file at `url`, from the cache or downloaded into it.

    The file appears in the cache complete and checked, or not at all. What arrived of an
    interrupted download stays beside it as `<name>.part` and is continued next time.

    Args:
        url: http or https.
        sha256: the file's SHA-256 in hexadecimal, or the first 8 or more digits of it. None: the
          file is taken as it comes, if it has the length the server announced.
        name: in the cache; None: the last part of `url`.

    Returns:
        The path in the cache.

    Raises:
        ValueError: what was downloaded does not have this hash (nothing is kept), or an argument
          makes no sense.
        ConnectionError: offline or unreachable; the message tells the file, its hash, its address
          and the folder to put it in.
    """
    name = name or _file_name(url)
    if sha256 is not None and not re.fullmatch(r"[0-9a-f]{8,64}", sha256):
        raise ValueError(f"sha256 must be 8 to 64 lower-case hexadecimal digits, got {sha256!r}.")
    path = cache_folder() / name
    if _is_good(path, sha256):
        return path
    if is_offline():
        raise ConnectionError(put_it_there(path, url, sha256, "SLIMNETS_OFFLINE is set"))
    path.parent.mkdir(parents=True, exist_ok=True)
    with _only_one_process(path):
        if not _is_good(path, sha256):
            _download(url, path, sha256)
    return path


def _file_name(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    name = PurePosixPath(urllib.parse.unquote(parts.path)).name
    if parts.scheme not in ("http", "https") or not re.fullmatch(r"\w[\w.+-]*", name):
        raise ValueError(f"url must be the http(s) address of a file, got {url!r}.")
    return name


def _is_good(path: Path, sha256: str | None) -> bool:
    if not path.is_file():
        return False
    if sha256 is None or sha256_of(path).startswith(sha256):
        return True
    logging.warning("%s does not have the SHA-256 %s…: it is not used.", path, sha256)
    return False


def sha256_of(path: Path) -> str:
    """A file's SHA-256 in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def put_it_there(path: Path, url: str, sha256: str | None, reason: str) -> str:
    """What to say where a download is not possible: which file to put where."""
    wanted = f" (SHA-256 {sha256}{'…' if len(sha256) < 64 else ''})" if sha256 else ""
    present = " A file of this name is there, but it has another hash." if path.exists() else ""
    return (
        f"cannot download {path.name}: {reason}. Get {url} elsewhere and put it at {path}{wanted}."
        f"{present}"
    )


@contextlib.contextmanager
def _only_one_process(path: Path) -> Iterator[None]:
    # The workers of one machine often ask for the same file at the same moment.
    try:
        import fcntl
    except ImportError:
        yield
        return
    with open(path.with_name(f".{path.name}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _download(url: str, path: Path, sha256: str | None) -> None:
    part = path.with_name(f"{path.name}.part")
    logging.info("Downloading %s to %s", url, path)
    problem = ""
    for _ in range(_ATTEMPTS):
        try:
            resumed = part.exists()
            _continue_download(url, part)
        except urllib.error.HTTPError as error:
            raise ConnectionError(
                put_it_there(path, url, sha256, f"the server answered {error.code} {error.reason}")
            ) from error
        except (OSError, http.client.HTTPException) as error:
            problem = str(getattr(error, "reason", error)) or type(error).__name__
            continue
        found = sha256_of(part)
        if sha256 is None or found.startswith(sha256):
            put_in_place(part, path)
            return
        part.unlink()
        if not resumed:
            raise ValueError(
                f"{url} has the SHA-256 {found}, expected {sha256}…: it is not the published file. "
                "Nothing was kept."
            )
        # The half that was here before may have been another file's: begin again.
        problem = "the file changed while it was downloaded"
    raise ConnectionError(put_it_there(path, url, sha256, problem))


def _continue_download(url: str, part: Path) -> None:
    """Appends to `part` what is missing; raises OSError if the connection ends too early."""
    start = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "slimnets"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if not start or error.code != 416:
            raise
        # Nothing beyond what is here: it is complete, and its hash will tell if it is right.
        if error.headers.get("Content-Range") == f"bytes */{start}":
            return
        part.unlink()
        raise ConnectionError("the partial file is longer than the published one") from error
    with response:
        if response.headers.get("Content-Range", "").partition("-")[0] != f"bytes {start}":
            start = 0  # the server sends the whole file again
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else None
        mode = "ab" if start else "wb"
        with open(part, mode) as file, progress.bar(part.stem, total, of_bytes=True) as advance:
            advance(start)
            while chunk := response.read(_CHUNK_BYTES):
                file.write(chunk)
                advance(len(chunk))
            size = file.tell()
    if total is not None and size != total:
        raise ConnectionError(f"the connection ended after {size} of {total} bytes")


def extract_tgz(archive: Path, max_bytes: int = 1 << 30) -> Path:
    """Unpacks a `.tgz` beside itself, once; returns the folder, named as the archive is.

    Args:
        archive: path of the file.
        max_bytes: more than this unpacked is refused.

    Raises:
        ValueError: not a tar archive, damaged, too large, or with entries that are neither files
          nor folders, or that would land outside the folder. Nothing is left behind then.
    """
    folder = archive.with_name(re.sub(r"\.(tgz|tar\.gz|tar)$", "", archive.name))
    if folder == archive:
        raise ValueError(f"{archive} is not named as an archive (.tgz, .tar.gz or .tar).")
    if folder.is_dir():
        return folder
    scratch = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=archive.parent))
    try:
        with tarfile.open(archive) as tar:
            _extract_files(tar, scratch, max_bytes)
            _read_to_the_end(tar, max_bytes)
        os.replace(scratch, folder)
    except (tarfile.TarError, EOFError, OSError, ValueError, zlib.error, lzma.LZMAError) as error:
        if folder.is_dir():  # another process was quicker
            return folder
        reason = "; ".join(str(error).splitlines())
        raise ValueError(
            f"{archive} cannot be unpacked ({reason}); it is damaged or no archive: delete it to "
            "download it again."
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return folder


def _read_to_the_end(tar: tarfile.TarFile, max_bytes: int) -> None:
    """tarfile stops at the archive's end mark, before gzip's checksum, which tells of damage."""
    while chunk := tar.fileobj.read(_CHUNK_BYTES):
        max_bytes -= len(chunk)
        if max_bytes < 0:
            raise ValueError("refused: it goes on behind the end of its archive.")


def _extract_files(tar: tarfile.TarFile, folder: Path, max_bytes: int) -> None:
    left = max_bytes
    for member in tar:
        parts = PurePosixPath(member.name).parts
        if member.isdir():
            continue
        if (
            not member.isfile()
            or member.name.startswith("/")
            or ".." in parts
            or "\\" in member.name
        ):
            raise ValueError(
                f"refused the entry {member.name!r}: not a plain file below the folder."
            )
        left -= member.size
        if left < 0:
            raise ValueError(f"refused: more than {max_bytes} bytes unpacked.")
        target = folder.joinpath(*parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tar.extractfile(member) as source, open(target, "xb") as file:
            shutil.copyfileobj(source, file)
