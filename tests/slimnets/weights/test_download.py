"""Downloads arrive whole and checked or not at all, and go on where they stopped."""

import hashlib
import io
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from slimnets.weights import download

BODY = bytes(range(256)) * 1200
SHA256 = hashlib.sha256(BODY).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves BODY at every path; `cut` ends answers early, `ranges` honours Range headers."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.body, self.cut, self.ranges, self.requests = BODY, None, True, []

    def url(self, name="weights.pth"):
        return f"http://127.0.0.1:{self.server_port}/{name}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server, start = self.server, 0
        wanted = self.headers.get("Range")
        server.requests.append(wanted)
        if "missing" in self.path:
            self.send_error(404)
            return
        if wanted and server.ranges:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(server.body):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(server.body)}")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header(
                "Content-Range", f"bytes {start}-{len(server.body) - 1}/{len(server.body)}"
            )
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(server.body) - start))
        self.end_headers()
        end = len(server.body) if server.cut is None else start + server.cut
        self.wfile.write(server.body[start:end])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SLIMNETS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SLIMNETS_OFFLINE", raising=False)
    return tmp_path / "home"


def test_a_file_is_downloaded_once_and_then_cached(server, home):
    path = download.fetch(server.url(), SHA256[:8])
    assert path == home / "weights.pth"
    assert path.read_bytes() == BODY
    assert download.fetch(server.url(), SHA256) == path
    assert len(server.requests) == 1


def test_a_dropped_connection_is_continued_where_it_ended(server):
    server.cut = len(BODY) // 2
    assert download.fetch(server.url(), SHA256).read_bytes() == BODY
    assert server.requests == [None, f"bytes={server.cut}-"]


def test_a_server_without_ranges_is_asked_for_the_whole_file_again(server, home):
    home.mkdir()
    (home / "weights.pth.part").write_bytes(BODY[:1000])
    server.ranges = False
    assert download.fetch(server.url(), SHA256).read_bytes() == BODY


def test_a_stale_part_of_another_file_does_not_spoil_the_download(server, home):
    home.mkdir()
    for stale in (b"x" * 1000, b"x" * len(BODY), b"x" * (len(BODY) + 5)):
        (home / "weights.pth.part").write_bytes(stale)
        path = download.fetch(server.url(), SHA256)
        assert path.read_bytes() == BODY
        path.unlink()


def test_a_truncated_download_leaves_no_file_and_can_go_on_later(server, home):
    server.cut = 1000
    with pytest.raises(ConnectionError, match=r"ended after 3000 of \d+ bytes.*weights\.pth"):
        download.fetch(server.url(), SHA256)
    assert not (home / "weights.pth").exists()
    server.cut = None
    assert download.fetch(server.url(), SHA256).read_bytes() == BODY
    assert server.requests[-1] == "bytes=3000-"


def test_a_wrong_hash_is_refused_and_nothing_is_kept(server, home):
    with pytest.raises(ValueError, match=f"{SHA256}, expected 00000000"):
        download.fetch(server.url(), "00000000")
    assert not list(home.glob("[!.]*"))


def test_a_cached_file_with_another_hash_is_fetched_again(server, home):
    home.mkdir()
    (home / "weights.pth").write_bytes(b"something else")
    assert download.fetch(server.url(), SHA256).read_bytes() == BODY


@pytest.mark.parametrize("case", ["variable", "unreachable", "404"])
def test_without_a_network_the_error_says_which_file_to_put_where(server, home, monkeypatch, case):
    url = server.url("missing.pth" if case == "404" else "weights.pth")
    if case == "variable":
        monkeypatch.setenv("SLIMNETS_OFFLINE", "1")
    if case == "unreachable":
        url = "http://127.0.0.1:9/weights.pth"
    with pytest.raises(ConnectionError) as error:
        download.fetch(url, SHA256[:8])
    message = str(error.value)
    name = url.rsplit("/", 1)[1]
    assert url in message
    assert f"put it at {home / name} (SHA-256 {SHA256[:8]}…)" in message


def test_offline_a_file_put_there_by_hand_is_used(home, monkeypatch):
    monkeypatch.setenv("SLIMNETS_OFFLINE", "1")
    home.mkdir()
    (home / "weights.pth").write_bytes(BODY)
    assert download.fetch("https://example.org/weights.pth", SHA256[:8]) == home / "weights.pth"
    with pytest.raises(ConnectionError, match="another hash"):
        download.fetch("https://example.org/weights.pth", "12345678")


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://example.org/a.pth", "https://example.org/", "a.pth"]
)
def test_only_web_addresses_of_files_are_fetched(url):
    with pytest.raises(ValueError, match="http"):
        download.fetch(url)


def archive(path, *members, content=b"data"):
    with tarfile.open(path, "w:gz") as tar:
        for member in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            info.size = len(content) if info.isfile() else 0
            tar.addfile(info, io.BytesIO(content))
    return path


def test_an_archive_is_unpacked_once_beside_itself(tmp_path):
    path = archive(tmp_path / "net_1.0.tgz", "./a.index", "ema/model-1.index")
    folder = download.extract_tgz(path)
    assert folder == tmp_path / "net_1.0"
    assert (folder / "ema/model-1.index").read_bytes() == b"data"
    path.unlink()
    assert download.extract_tgz(path) == folder


def link(name, target, kind=tarfile.SYMTYPE):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    "member",
    [
        "../outside",
        "/outside",
        "a/../../outside",
        link("a", "/etc"),
        link("b", "a", tarfile.LNKTYPE),
    ],
    ids=["parent", "absolute", "detour", "symlink", "hard link"],
)
def test_archive_entries_that_leave_the_folder_are_refused(tmp_path, member):
    (tmp_path / "cache").mkdir()
    path = archive(tmp_path / "cache" / "x.tgz", "good", member)
    with pytest.raises(ValueError, match="refused the entry"):
        download.extract_tgz(path)
    assert [p.name for p in tmp_path.rglob("*")] == ["cache", "x.tgz"]


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path):
    path = archive(tmp_path / "bomb.tgz", "zeros", content=bytes(1 << 20))
    with pytest.raises(ValueError, match="more than 1000 bytes"):
        download.extract_tgz(path, max_bytes=1000)
    assert list(tmp_path.iterdir()) == [path]


def test_a_truncated_archive_is_refused(tmp_path):
    path = archive(tmp_path / "cut.tgz", "a", content=bytes(range(256)) * 400)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(ValueError, match=r"cut\.tgz"):
        download.extract_tgz(path)
    assert list(tmp_path.iterdir()) == [path]


def test_an_archive_whose_checksum_is_wrong_is_refused(tmp_path):
    path = archive(tmp_path / "flipped.tgz", "a", content=bytes(range(256)) * 400)
    content = bytearray(path.read_bytes())
    content[-8] ^= 1  # gzip's CRC-32, which stands before the length
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"flipped\.tgz cannot be unpacked.*CRC"):
        download.extract_tgz(path)
    assert list(tmp_path.iterdir()) == [path]
