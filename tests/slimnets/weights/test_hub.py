"""timm's weights come from the Hub with the hash that it tells of them, or not at all."""

import hashlib
import json
import sys
import threading
import types
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from slimnets import nets  # noqa: F401  makes the families known
from slimnets.weights import hub
from slimnets.weights.families import find_source, sources_for
from slimnets.weights.sources import fetch_source

BODY = b"\x02\0\0\0\0\0\0\0{}" + bytes(5000)
NAME = "timm/mobilenetv1_100.ra4_e3600_r224_in1k"


class Server(ThreadingHTTPServer):
    """As the Hub: the hash at the file's address, and there a way to the storage."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.etag, self.paths = f'"{hashlib.sha256(BODY).hexdigest()}"', []


class Handler(BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.server.paths.append(self.path)
        self.send_response(302)
        self.send_header("Location", "/storage/model.safetensors")
        if self.server.etag:
            self.send_header("X-Linked-Etag", self.server.etag)
        self.end_headers()

    def do_GET(self):
        if not self.path.startswith("/storage"):
            self.do_HEAD()
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch, tmp_path):
    server = Server()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("SLIMNETS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SLIMNETS_OFFLINE", raising=False)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)  # not installed
    yield server
    server.shutdown()
    server.server_close()


def test_a_file_of_the_hub_is_downloaded_once_with_its_hash(server, tmp_path):
    source = find_source(NAME, lambda: None)
    path = fetch_source(source)
    assert path == tmp_path / "home" / "mobilenetv1_100.ra4_e3600_r224_in1k.safetensors"
    assert path.read_bytes() == BODY
    asked = len(server.paths)
    assert fetch_source(source) == path
    assert len(server.paths) == asked
    assert server.paths[0] == f"/{NAME}/resolve/main/model.safetensors"


def test_a_file_of_another_hash_is_refused_and_not_kept(server, tmp_path):
    server.etag = f'"{"0" * 64}"'
    with pytest.raises(ValueError, match="it is not the published file"):
        fetch_source(find_source(NAME, lambda: None))
    assert not [*(tmp_path / "home").glob("mobilenet*")]


def test_without_a_hash_nothing_is_downloaded(server):
    server.etag = ""
    with pytest.raises(ValueError, match="tells no SHA-256"):
        fetch_source(find_source(NAME, lambda: None))


def test_offline_the_message_says_which_file_to_put_where(server, monkeypatch, tmp_path):
    monkeypatch.setenv("SLIMNETS_OFFLINE", "1")
    with pytest.raises(ConnectionError, match=r"resolve/main/model\.safetensors") as error:
        fetch_source(find_source(NAME, lambda: None))
    place = tmp_path / "home" / "mobilenetv1_100.ra4_e3600_r224_in1k.safetensors"
    assert f"put it at {place}" in str(error.value)
    place.parent.mkdir()
    place.write_bytes(BODY)
    assert fetch_source(find_source(NAME, lambda: None)) == place


def test_where_the_hubs_own_client_is_installed_its_cache_is_used(server, monkeypatch, tmp_path):
    blob = tmp_path / hashlib.sha256(BODY).hexdigest()
    blob.write_bytes(BODY)
    asked = []

    def hf_hub_download(*args, **kwargs):
        asked.append((*args, kwargs))
        return str(blob)

    client = types.SimpleNamespace(hf_hub_download=hf_hub_download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", client)
    assert fetch_source(find_source(NAME, lambda: None)) == blob
    assert asked == [(NAME, "model.safetensors", {"local_files_only": False})]
    blob.write_bytes(BODY[:-1])
    with pytest.raises(ValueError, match="it is damaged"):
        fetch_source(find_source(NAME, lambda: None))


def test_what_a_repository_says_of_its_weights_is_read(tmp_path):
    fields = {
        "architecture": "tf_some_network",
        "pretrained_cfg": {
            "input_size": [3, 240, 240],
            "crop_pct": 0.882,
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
            "interpolation": "bicubic",
        },
    }
    (tmp_path / "config.json").write_text(json.dumps(fields))
    found = hub.described_beside(tmp_path / "model.safetensors")
    assert found.architecture == "tf_some_network"
    assert (found.preprocessing.size, found.preprocessing.crop_fraction) == ((240, 240), 0.882)
    (tmp_path / "config.json").write_text("[" * 10_000)
    assert hub.described_beside(tmp_path / "model.safetensors") is None


@pytest.mark.parametrize(
    ("network", "size", "best"),
    [
        ("mobilenet_v1", 224, NAME),
        ("mobilenet_v1", 160, "mobilenet_v1_1.0_160"),
        ("mobilenet_v2", 224, "timm/mobilenetv2_100.ra_in1k"),
        # One of 384 pixels is more accurate there, and not at these.
        ("mobilenet_v4_conv_medium", 256, "timm/mobilenetv4_conv_medium.e500_r256_in1k"),
        ("mobilenet_v4_conv_large", 384, "timm/mobilenetv4_conv_large.e600_r384_in1k"),
    ],
)
def test_imagenet_means_the_most_accurate_for_the_images_size(network, size, best):
    assert sources_for(network, {}, size)[0].name == best
