"""`.keras` files of strangers: what Keras may be given, and what not."""

import io
import json
import zipfile

import h5py
import numpy as np
import pytest

from tflite.files.keras_archive import check_keras_archive, check_weights_file

CONV = {"name": "conv1", "filters": 4, "kernel_size": [3, 3]}
NORM = {"name": "bn1", "epsilon": 0.001}


def config(*layers) -> dict:
    layers = [
        {"class_name": "Layer", "config": fields, "build_config": {"input_shape": [None, 8, 8, 3]}}
        for fields in layers
    ]
    return {"class_name": "Functional", "config": {"layers": layers}}


def weights(fill=None) -> bytes:
    file = io.BytesIO()
    with h5py.File(file, "w") as opened:
        variables = opened.create_group("layers/conv2d/vars")
        variables["0"] = np.ones((3, 3, 3, 4), np.float32)
        if fill is not None:
            fill(variables)
    return file.getvalue()


@pytest.fixture
def write(tmp_path):
    def write(fields=None, content=None, method=zipfile.ZIP_STORED, without=()):
        path = tmp_path / "model.keras"
        text = fields if isinstance(fields, bytes) else json.dumps(fields or config(CONV, NORM))
        entries = {"config.json": text, "model.weights.h5": content or weights()}
        with zipfile.ZipFile(path, "w", method) as archive:
            for name in entries.keys() - set(without):
                archive.writestr(name, entries[name])
        return path

    return write


def test_a_plain_file_passes_and_so_does_one_that_was_zipped_again(write):
    check_keras_archive(write())
    check_keras_archive(write(method=zipfile.ZIP_DEFLATED))


@pytest.mark.parametrize("content", [b"", b"no zip at all", b"PK\x03\x04" + bytes(100)])
def test_what_is_no_zip_archive_is_refused(tmp_path, content):
    path = tmp_path / "model.keras"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.keras is no Keras model"):
        check_keras_archive(path)


@pytest.mark.parametrize("name", ["config.json", "model.weights.h5"])
def test_a_missing_entry_is_named(write, name):
    with pytest.raises(ValueError, match=f"the archive holds no {name}"):
        check_keras_archive(write(without=[name]))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"[" * 100_000, "nests without end"),
        (b'{"config":' * 300 + b"0" + b"}" * 300, "nest more than 200 deep"),
        (b"\xff", "no JSON"),
        (b"[]", "no table of fields"),
    ],
)
def test_a_configuration_nests_and_ends(write, text, words):
    with pytest.raises(ValueError, match=words):
        check_keras_archive(write(text))


@pytest.mark.parametrize("epsilon", [float("nan"), -1, "small", [], 7])
def test_an_epsilon_is_a_small_number(write, epsilon):
    with pytest.raises(ValueError, match=r"epsilon of layer 'bn1' must be a number in \[0, 1\]"):
        check_keras_archive(write(config(CONV, NORM | {"epsilon": epsilon})))


@pytest.mark.parametrize(
    "fields", [{"filters": 10**9}, {"units": 10**12}, {"kernel_size": [9999, 9999]}]
)
def test_a_layer_has_no_more_weights_than_the_file(write, fields):
    with pytest.raises(ValueError, match=r"its layer 'conv1' needs [\d,]+ weights"):
        check_keras_archive(write(config(CONV | fields)))


def test_a_little_file_does_not_unpack_to_gigabytes(write):
    path = write(content=weights() + bytes(200_000_000), method=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1_000_000
    with pytest.raises(ValueError, match="that unpacks to 2000"):
        check_keras_archive(path)


def virtual(other):
    def fill(group):
        layout = h5py.VirtualLayout((4,), "f4")
        layout[:] = h5py.VirtualSource(other, "secret", (4,))
        group.create_virtual_dataset("1", layout)

    return fill


def external_storage(other):
    def fill(group):
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_external(bytes(other), 0, 16)
        space = h5py.h5s.create_simple((4,))
        h5py.h5d.create(group.id, b"1", h5py.h5t.NATIVE_FLOAT, space, properties)

    return fill


def external_link(other):
    return lambda group: group.__setitem__("1", h5py.ExternalLink(other, "secret"))


@pytest.mark.parametrize("spoil", [virtual, external_storage, external_link])
def test_weights_that_lie_in_another_file_are_refused(write, tmp_path, spoil):
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["secret"] = np.arange(4, dtype="f4")
    with pytest.raises(ValueError, match="refused"):
        check_keras_archive(write(content=weights(spoil(tmp_path / "secret.h5"))))


def test_a_data_set_that_claims_more_than_its_file_holds_is_refused(write):
    def huge(group):
        group.create_dataset("1", (1 << 20, 1 << 20), "f4", chunks=(1, 64))

    with pytest.raises(ValueError, match="larger than the file that holds it"):
        check_keras_archive(write(content=weights(huge)))


def test_groups_in_a_circle_are_walked_once():
    def circle(group):
        group["again"] = group.file["layers"]

    with h5py.File(io.BytesIO(weights(circle))) as file:
        check_weights_file(file, "circle.h5")
