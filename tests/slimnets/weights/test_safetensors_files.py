"""safetensors files are read without PyTorch, to the bit, and refused where they lie."""

import json
import tracemalloc

import keras
import numpy as np
import pytest
import safetensors.numpy

import slimnets
from slimnets.weights import export_torch, file_kinds, load_weights
from slimnets.weights.safetensors_files import read_safetensors
from tests.helpers.lively import lively

TINY = {"input_shape": (32, 32, 3), "depth_multiplier": 0.35, "use_explicit_padding": True}


@pytest.fixture(scope="module")
def model():
    return lively(slimnets.mobilenet_v2(num_classes=10, **TINY), seed=1)


@pytest.fixture(scope="module")
def state(model):
    return export_torch(model)


@pytest.fixture(scope="module")
def fresh():
    return slimnets.mobilenet_v2(num_classes=10, **TINY)


def carries(model, state):
    exported = export_torch(model)
    return all(np.array_equal(exported[name], value) for name, value in state.items())


def write(path, header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)
    return path


def tensor(shape, first, last, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [first, last]}


def test_a_file_of_ours_is_one_of_pytorchs_and_comes_back_to_the_bit(tmp_path, model, state, fresh):
    path = tmp_path / "v2.safetensors"
    slimnets.export_safetensors(model, path)
    theirs = safetensors.numpy.load_file(path)
    assert all(np.array_equal(theirs[name], value) for name, value in state.items())
    assert theirs.keys() == state.keys()
    load_weights(fresh, path)
    assert carries(fresh, state)


@pytest.mark.parametrize(
    "prefix", ["module.", "model.", "backbone.", "state_dict_ema.module.", "model._orig_mod."]
)
def test_what_wraps_a_network_is_taken_off_its_names(tmp_path, state, fresh, prefix):
    wrapped = {prefix + name: value for name, value in state.items()}
    if "ema" in prefix:  # beside the last weights, the averaged ones count
        wrapped |= {f"state_dict.{name}": np.zeros_like(value) for name, value in state.items()}
    safetensors.numpy.save_file(wrapped, tmp_path / "renamed.bin")
    load_weights(fresh, tmp_path / "renamed.bin")
    assert carries(fresh, state)


def test_half_precision_is_read_as_the_numbers_that_it_stands_for(tmp_path, state, fresh):
    halves = {n: v.astype(np.float16) if v.dtype == np.float32 else v for n, v in state.items()}
    safetensors.numpy.save_file(halves, tmp_path / "half.safetensors")
    load_weights(fresh, tmp_path / "half.safetensors")
    kernel = fresh.get_layer("layer_1.conv").kernel.numpy()
    wanted = halves["features.0.0.weight"].astype(np.float32)
    np.testing.assert_array_equal(kernel, np.moveaxis(wanted, (0, 1), (3, 2)))
    # The upper halves of 1.0 and -2.5 in float32.
    path = write(tmp_path / "b.safetensors", {"a": tensor([2], 0, 4, "BF16")}, b"\x80\x3f\x20\xc0")
    assert read_safetensors(path)["a"].tolist() == [1.0, -2.5]


def test_another_number_of_classes_is_refused_with_what_to_do(tmp_path, model, state):
    slimnets.export_safetensors(model, tmp_path / "ten.safetensors")
    other = slimnets.mobilenet_v2(num_classes=7, **TINY)
    before = [variable.numpy() for variable in other.weights]
    with pytest.raises(ValueError, match=r"(?s)nothing was loaded.*num_classes=10"):
        load_weights(other, tmp_path / "ten.safetensors")
    assert all(np.array_equal(a, b) for a, b in zip(before, other.get_weights(), strict=True))


def test_the_kind_is_told_even_where_the_header_begins_as_a_pickle_does(tmp_path):
    path = write(tmp_path / "model.bin", b"{}" + b" " * 638)
    assert path.read_bytes()[:2] == b"\x80\x02"
    assert file_kinds.kind_of(path) == "safetensors"


LIES = {  # what is wrong: header, bytes behind it, the header's announced length, the message
    "truncated": ({"a": tensor([4], 0, 16)}, bytes(8), None, "does not fit the 8 bytes"),
    "more than it says": ({"a": tensor([1], 0, 4)}, bytes(8), None, "does not fit the 8 bytes"),
    "a shape beyond its bytes": ({"a": tensor([10**9] * 2, 0, 4)}, bytes(4), None, "does not fit"),
    "a shape beyond numbers": ({"a": tensor([2**62, 8], 0, 4)}, bytes(4), None, "does not fit"),
    "offsets outside": ({"a": tensor([1], 2**40, 2**40 + 4)}, bytes(4), None, "does not fit"),
    "offsets that overlap": (
        {"a": tensor([1], 0, 4), "b": tensor([1], 0, 4)},
        bytes(4),
        None,
        "does not fit",
    ),
    "a length beyond the file": ({}, b"", 90_000_000, "truncated: its header has 90,000,000"),
    "a length beyond reason": ({}, b"", 2**62, "not a safetensors file"),
    "no JSON": (b"{what", b"", None, "does not fit"),
    "JSON without end": (b'{"a":' * 100_000, b"", None, "does not fit"),
    "numbers of 8 bits": ({"a": tensor([4], 0, 4, "F8_E4M3")}, bytes(4), None, "a holds F8_E4M3"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_header_that_lies_is_refused_without_taking_memory(tmp_path, lie):
    header, data, length, message = LIES[lie]
    path = write(tmp_path / "x.safetensors", header, data, length)
    tracemalloc.start()
    with pytest.raises(ValueError, match=message):
        read_safetensors(path)
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


def test_weights_takes_a_file_and_builds_the_network_as_it_needs(tmp_path, model, state):
    slimnets.export_safetensors(model, tmp_path / "v2.safetensors")
    options = {**TINY}
    del options["use_explicit_padding"]
    built = slimnets.mobilenet_v2(
        num_classes=10, weights=str(tmp_path / "v2.safetensors"), **options
    )
    assert any(isinstance(layer, keras.layers.ZeroPadding2D) for layer in built.layers)
    assert carries(built, state)
