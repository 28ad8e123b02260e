"""Time and memory of a training step against the twin in keras.applications, as ratios.

    python benchmarks/training_step.py [--rounds=10]

Both train from noise on the same random batch of 32 images of 128×128, SGD, on the CPU; their steps
alternate, and medians are compared. Peak memory is that of a process of its own for each.
"""

import re
import subprocess
import sys
from pathlib import Path

from absl import app, flags

_ROUNDS = flags.DEFINE_integer("rounds", 10, "steps of each side, alternating")
_ALONE = flags.DEFINE_string("alone", None, "one side only, such as mobilenet_v1/twin: its memory")

_BATCH, _SIZE, _CLASSES = 32, 128, 1000
_TWINS = {"mobilenet_v1": "MobileNet", "mobilenet_v2": "MobileNetV2"}
_STEPS_FOR_MEMORY = 3


def step(name: str, side: str):
    """A call that does one training step and waits for it."""
    import keras
    import numpy as np

    import slimnets

    shape = (_SIZE, _SIZE, 3)
    if side == "ours":
        model = getattr(slimnets, name)(shape)
    else:
        model = getattr(keras.applications, _TWINS[name])(shape, weights=None)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "sparse_categorical_crossentropy")
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (_BATCH, *shape)).astype("float32")
    labels = rng.integers(0, _CLASSES, _BATCH)
    return lambda: model.train_on_batch(images, labels)


def peak_kilobytes() -> int:
    """This program's own; `ru_maxrss` would count what started it as well."""
    status = Path("/proc/self/status").read_text("utf-8")
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])


def megabytes(name: str, side: str) -> float:
    """Peak memory of a process that trains nothing else."""
    words = [sys.executable, __file__, f"--alone={name}/{side}"]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    return int(done.stdout.split()[-1]) / 1024


def main(_: list[str]) -> None:
    if _ALONE.value:
        train = step(*_ALONE.value.split("/"))
        for _step in range(_STEPS_FOR_MEMORY):
            train()
        print(peak_kilobytes())
        return
    from tflite.measuring.timing import time_calls

    print(f"{'network':<14} {'ms':>6} {'twin':>6} {'ratio':>6} {'MB':>6} {'twin':>6} {'ratio':>6}")
    for name in _TWINS:
        calls = [step(name, side) for side in ("ours", "twin")]
        mine, theirs = (t.median for t in time_calls(calls, warm_up=2, runs=_ROUNDS.value))
        ours, twin = (megabytes(name, side) for side in ("ours", "twin"))
        print(
            f"{name:<14} {mine:>6.0f} {theirs:>6.0f} {mine / theirs:>6.2f} "
            f"{ours:>6.0f} {twin:>6.0f} {ours / twin:>6.2f}",
            flush=True,
        )


if __name__ == "__main__":
    app.run(main)
