"""Spoiled weight files, archives and label files, and their readers. No TensorFlow."""

import gzip
import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tests.hostile.mutations import HOSTILE_FLOATS, HOSTILE_INTEGERS, spoil_bytes

_SAMPLES = Path(__file__).parents[1] / "slimnets" / "weights"
_SECRET = Path(__file__)  # what a link may try to read

_LAYERS: tuple[dict[str, Any], ...] = (
    {
        "class_name": "Conv2D",
        "config": {
            "name": "conv1",
            "filters": 4,
            "kernel_size": [3, 3],
            "strides": [2, 2],
            "padding": "same",
            "activation": "linear",
        },
        "build_config": {"input_shape": [None, 8, 8, 3]},
    },
    {
        "class_name": "BatchNormalization",
        "config": {"name": "conv1.bn", "epsilon": 0.001, "axis": -1, "momentum": 0.99},
        "build_config": {"input_shape": [None, 4, 4, 4]},
    },
)


def make(seed: int) -> tuple[str, bytes]:
    """(suffix, content) of this number."""
    rng = np.random.default_rng(seed)
    makers = (_pth, _pth_legacy, _safetensors, _h5, _keras, _keras, _archive, _labels)
    return makers[seed % len(makers)](rng)


def _pth(rng: np.random.Generator) -> tuple[str, bytes]:
    data = (_SAMPLES / "sample.pth").read_bytes()
    if rng.random() < 0.4:
        return ".pth", spoil_bytes(data, rng)
    # Whole checksums around a spoiled content.
    file = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(data)) as source,
        zipfile.ZipFile(file, "w", int(rng.choice([0, 0, 0, 8]))) as target,
    ):
        names = source.namelist()
        victim = names[int(rng.integers(len(names)))] if rng.random() < 0.3 else "data.pkl"
        for name in names:
            content = source.read(name)
            if name.endswith(victim) and content:
                content = spoil_bytes(content, rng)
            if rng.random() > 0.02:
                target.writestr(name, content)
    return ".pth", file.getvalue()


def _pth_legacy(rng: np.random.Generator) -> tuple[str, bytes]:
    return ".pth", spoil_bytes((_SAMPLES / "sample_legacy.pth").read_bytes(), rng)


def _safetensors(rng: np.random.Generator) -> tuple[str, bytes]:
    kinds = ("F32", "F16", "BF16", "I64", "F8_E4M3", "F128")
    numbers = (-1, 0, 1, 3, 4, 8, 12, 2**31, 2**40, 2**62, 2**64, 1e9, None, "4")
    header: dict[str, Any] = {
        "a.weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
        "b.bias": {"dtype": "F16", "shape": [4], "data_offsets": [24, 32]},
    }
    for _ in range(int(rng.integers(0, 3))):
        tensor = header[str(rng.choice([*header]))]
        pick = numbers[int(rng.integers(len(numbers)))]
        match int(rng.integers(4)):
            case 0:
                tensor["dtype"] = str(rng.choice(kinds))
            case 1:
                tensor["shape"] = [pick, *tensor["shape"][1:]]
            case 2:
                tensor["data_offsets"] = [tensor["data_offsets"][0], pick]
            case 3:
                tensor["shape"] = [1 << 20] * 40
    text = json.dumps(header).encode()
    if rng.random() < 0.1:
        text = b'{"a":' * 100_000
    length = len(text) if rng.random() < 0.9 else numbers[int(rng.integers(4, 11))] % 2**64
    data = length.to_bytes(8, "little") + text + bytes(32)
    return ".safetensors", spoil_bytes(data, rng) if rng.random() < 0.3 else data


def _weights(rng: np.random.Generator, spoil: bool) -> bytes:
    file = io.BytesIO()
    kind = int(rng.integers(12)) if spoil else -1
    with h5py.File(file, "w") as weights:
        conv = weights.create_group("layers/conv2d/vars")
        conv.attrs["name"] = "conv1" if kind != 0 else np.arange(5)
        conv["0"], conv["1"] = np.ones((3, 3, 3, 4), np.float32), np.zeros(4, np.float32)
        norm = weights.create_group("layers/batch_normalization/vars")
        norm.attrs["name"] = "conv1.bn"
        for n in range(4):
            norm[str(n)] = np.ones(4, np.float32)
        if spoil:
            _spoil_weights(weights, kind, rng)
    return file.getvalue()


def _spoil_weights(weights: h5py.File, kind: int, rng: np.random.Generator) -> None:
    parents = ("layers", "layers/conv2d", "layers/conv2d/vars", "layers/conv2d/vars/0")
    victim = parents[int(rng.integers(len(parents)))]
    if kind == 1:
        del weights[victim]
        return
    if kind in (2, 3, 4):
        del weights[victim]
        link = (h5py.ExternalLink(_SECRET, "/x"), h5py.SoftLink("/x"), h5py.SoftLink("/layers"))
        weights[victim] = link[kind - 2]
        return
    if kind == 5:
        del weights[victim]
        weights[victim] = np.zeros(3)
        return
    if kind == 6:
        weights[f"{victim}-again"] = weights["layers"]  # a circle
        weights["layers/self"] = weights["layers"]
        return
    del weights["layers/conv2d/vars/0"]
    if kind == 7:
        layout = h5py.VirtualLayout((3, 3, 3, 4), "f4")
        layout[:] = h5py.VirtualSource(_SECRET, "x", (3, 3, 3, 4))
        weights.create_virtual_dataset("layers/conv2d/vars/0", layout)
    elif kind == 8:
        space = h5py.h5s.create_simple((4,))
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_external(bytes(_SECRET), 0, 16)
        group = weights["layers/conv2d/vars"].id
        h5py.h5d.create(group, b"0", h5py.h5t.NATIVE_FLOAT, space, plist)
    elif kind == 9:
        weights.create_dataset("layers/conv2d/vars/0", (1 << 20, 1 << 20), "f4", chunks=(1, 64))
    elif kind == 10:
        weights["layers/conv2d/vars/0"] = np.asarray(["text", "more"], "S4")
    else:
        zeros = np.zeros((1 << 24,), np.float32)
        weights.create_dataset("layers/conv2d/vars/0", data=zeros, compression="gzip")


def _h5(rng: np.random.Generator) -> tuple[str, bytes]:
    data = _weights(rng, spoil=rng.random() < 0.6)
    return ".weights.h5", spoil_bytes(data, rng) if rng.random() < 0.5 else data


def _keras(rng: np.random.Generator) -> tuple[str, bytes]:
    kind = int(rng.integers(8))
    config: Any = {
        "class_name": "Functional",
        "config": {"layers": json.loads(json.dumps(_LAYERS))},
    }
    if kind < 4:
        spoil_config(config, rng)
    text = json.dumps(config).encode()
    if kind == 4:
        text = (b"[" * 200_000, b'{"config":' * 500 + b"0" + b"}" * 500, b"", b"\xff", b"[]")[
            int(rng.integers(5))
        ]
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", int(rng.choice([0, 0, 0, 8]))) as archive:
        archive.writestr("metadata.json", "{}")
        if rng.random() > 0.03:
            archive.writestr("config.json", text)
        weights = _weights(rng, spoil=kind == 5)
        if kind == 6:
            weights = spoil_bytes(weights, rng)
        if rng.random() < 0.02:
            weights += bytes(200_000_000)
        if rng.random() > 0.03:
            archive.writestr("model.weights.h5", weights)
    data = file.getvalue()
    return ".keras", spoil_bytes(data, rng) if kind == 7 else data


def spoil_config(config: Any, rng: np.random.Generator) -> None:
    """Gives one field of a Keras configuration another value, at any depth."""
    places = []
    waiting = [config]
    while waiting:
        node = waiting.pop()
        keys = range(len(node)) if isinstance(node, list) else list(node)
        for key in keys:
            places.append((node, key))
            if isinstance(node[key], dict | list):
                waiting.append(node[key])
    node, key = places[int(rng.integers(len(places)))]
    if rng.random() < 0.3:
        norms = [place for place in places if place[1] == "epsilon"]
        node, key = norms[int(rng.integers(len(norms)))]
    others = (*HOSTILE_INTEGERS, *HOSTILE_FLOATS, None, "small", [], {}, [None], True, "x" * 10_000)
    node[key] = others[int(rng.integers(len(others)))]


def _archive(rng: np.random.Generator) -> tuple[str, bytes]:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        names = ("model.ckpt.index", "../escaped", "/etc/escaped", "a/b/c", "x" * 300, "dev")
        for name in (names[0], names[int(rng.integers(len(names)))]):
            info = tarfile.TarInfo(name)
            info.size = 100
            kinds = (tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE)
            if name == "dev":
                info.type, info.linkname = kinds[int(rng.integers(4))], "/etc/passwd"
            tar.addfile(info, io.BytesIO(rng.bytes(100)))
    data = file.getvalue()
    if rng.random() < 0.2:
        data = spoil_bytes(data, rng)
    data = gzip.compress(data, mtime=0)
    if rng.random() < 0.5:
        data = spoil_bytes(data, rng)
    elif rng.random() < 0.3:
        data = data[:-8] + rng.bytes(4) + data[-4:]
    elif rng.random() < 0.1:
        data += gzip.compress(bytes(1 << 26))
    return ".tgz", data


def _labels(rng: np.random.Generator) -> tuple[str, bytes]:
    texts = (b"", b"\xff\xfea\x00", b"a\nb\n", "ä\nö\n".encode(), b"\x00\n\x01", b"a\r\nb\r\n")
    return ".txt", texts[int(rng.integers(len(texts)))]


def use(path: Path, rng: np.random.Generator) -> None:
    """Reads the file to its last value."""
    from slimnets.weights import download, keras_files, pth, safetensors_files
    from tests.hostile.running import attempts
    from tflite.files.keras_archive import check_keras_archive
    from tflite.files.labels import check_labels

    def read_keras() -> None:
        with keras_files.open_file(path) as file:
            for tensor in file.tensors.values():
                np.asarray(tensor)
            keras_files.check_built_alike(_Model(), file, path)
            keras_files.epsilons(file, _Model())

    def unpack() -> None:
        folder = download.extract_tgz(path, max_bytes=1 << 20)
        assert all(folder in found.resolve().parents for found in folder.rglob("*"))

    match path.suffix:
        case ".pth":
            attempts({"read_pth": lambda: pth.read_pth(path)})
        case ".safetensors":
            attempts({"read_safetensors": lambda: safetensors_files.read_safetensors(path)})
        case ".h5":
            attempts({"weights": read_keras})
        case ".keras":
            attempts({"weights": read_keras, "check": lambda: check_keras_archive(path)})
        case ".tgz":
            attempts({"extract_tgz": unpack})
        case ".txt":
            attempts({"check_labels": lambda: check_labels(path, None)})


class _Model:
    """As much of a model as the readers look at: one layer that the files describe too."""

    name = "model"

    class _Layer:
        name = "conv1"
        weights = ("kernel",)

        @staticmethod
        def get_config() -> dict[str, Any]:
            return dict(_LAYERS[0]["config"], strides=(2, 2))

    layers = (_Layer,)
