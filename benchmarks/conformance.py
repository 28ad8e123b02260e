"""What each form of a file keeps of its float network: the tables in tests/conformance.

    python benchmarks/conformance.py             # prints them all
    python benchmarks/conformance.py --measure   # measures the small one anew (a minute of CPU)

A row is a network with its weights, judged on images, in one form; those that lose most stand there
too. mobilenet_v2_96.yaml is measured here, and again by the slow tests; mobilenet_v2.yaml by
`quantization.py --out=…`; fashion_mnist.yaml by `fashion_networks.py --out=…`.
"""

import importlib.metadata
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml
from absl import app, flags, logging
from quantization import crops, logits, measured, network, normalized, processor, run

FLAGS = flags.FLAGS
FOLDER = Path(__file__).parents[1] / "tests" / "conformance"
SMALL = FOLDER / "mobilenet_v2_96.yaml"
SMALL_SIZE, SMALL_CALIBRATION, SMALL_EVALUATION = 96, 36, 90
SMALL_FORMS = {
    "float32": {"precision": "float32"},
    "float16": {"precision": "float16"},
    "dynamic": {"precision": "dynamic"},
    "int8, effort fast": {"precision": "int8", "effort": "fast"},
    "int8, effort normal": {"precision": "int8", "effort": "normal"},
}
_PACKAGES = ("tensorflow", "keras", "ai-edge-litert", "onnxruntime", "litert-quantizer")


@dataclass(frozen=True)
class Row:
    """One form beside the float network; None where it was not measured.

    Attributes:
        images: what it is judged on.
        form: of the file: its precision and effort, or the other tool that made it.
        accuracy: share of labelled images classified as their label says.
        agreement: share of images with the float network's top-1 answer.
        sqnr_db: 10·log10(Σ float² / Σ error²) of the logits.
        kl: of the probabilities, in nats.
        worst_layer_db: the least SQNR of a layer's output.
    """

    network: str
    weights: str
    images: str
    form: str
    accuracy: float | None = None
    agreement: float | None = None
    sqnr_db: float | None = None
    kl: float | None = None
    worst_layer_db: float | None = None


def read(path: Path) -> list[Row]:
    return [Row(**row) for row in yaml.safe_load(path.read_text("utf-8"))["rows"]]


def write(path: Path, command: str, rows: Iterable[Row]) -> None:
    """A line a row, under how, where and with what they were measured."""
    about = {"command": command, "processor": processor(), "versions": versions()}
    lines = [yaml.safe_dump(about, sort_keys=False, width=100), "rows:\n"]
    for row in rows:
        found = {name: value for name, value in asdict(row).items() if value is not None}
        text = yaml.safe_dump(
            found, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10_000
        )
        lines.append(f"- {text}")
    path.write_text("".join(lines), "utf-8")


def versions() -> dict[str, str]:
    """Of the packages that decide what a file holds and computes, where they are installed."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def small_rows() -> Iterator[Row]:
    """MobileNetV2 with ImageNet weights, at 96×96 pixels and on few crops of photographs."""
    import tflite

    model, preprocessing = network(SMALL_SIZE)
    calibration = normalized(crops(SMALL_CALIBRATION, 2, SMALL_SIZE), preprocessing)
    pixels = crops(SMALL_EVALUATION, 1, SMALL_SIZE)
    expected = logits(model, normalized(pixels, preprocessing))
    for form, options in SMALL_FORMS.items():
        if options["precision"] == "int8":
            options = {**options, "calibration": calibration, "output_type": "float32"}
        data = tflite.convert(model, preprocessing=preprocessing, **options).bytes
        found = measured("", form, run(data, pixels), expected, (0, 0))
        yield Row(
            "mobilenet_v2",
            "ImageNet",
            f"{SMALL_EVALUATION} crops at {SMALL_SIZE}×{SMALL_SIZE}",
            form,
            agreement=round(found.agreement, 3),
            sqnr_db=round(found.sqnr_db, 1),
            kl=round(found.kl, 4),
        )


def lines(rows: Iterable[Row]) -> Iterator[str]:
    """A table; a dash where nothing was measured."""
    yield (
        f"{'network':22} {'weights':13} {'images':18} {'form':45} accuracy agreement SQNR (dB)"
        "      KL worst layer (dB)"
    )
    for row in rows:
        yield (
            f"{row.network:22} {row.weights:13} {row.images:18} {row.form:45}"
            f" {_cell(row.accuracy, '.2%'):>8} {_cell(row.agreement, '.3f'):>9}"
            f" {_cell(row.sqnr_db, '.1f'):>9} {_cell(row.kl, '.4f'):>7}"
            f" {_cell(row.worst_layer_db, '.1f'):>16}"
        )


def _cell(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def main(_) -> None:
    logging.set_verbosity(logging.ERROR)
    if FLAGS.measure:
        write(SMALL, "python benchmarks/conformance.py --measure", small_rows())
    for line in lines(row for path in sorted(FOLDER.glob("*.yaml")) for row in read(path)):
        print(line)


if __name__ == "__main__":
    flags.DEFINE_bool("measure", False, "Measure MobileNetV2 at 96×96 anew and write its table.")
    app.run(main)
