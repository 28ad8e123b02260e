"""Time to build each network against its twin in keras.applications, as ratios in one run.

python benchmarks/building.py [--rounds=5]
"""

import keras
from absl import app, flags

import slimnets
from tflite.measuring.timing import time_calls

_ROUNDS = flags.DEFINE_integer("rounds", 5, "builds of each side, alternating; medians are shown")

TWINS = {
    "mobilenet_v1": lambda: keras.applications.MobileNet(weights=None),
    "mobilenet_v2": lambda: keras.applications.MobileNetV2(weights=None),
    "mobilenet_v3_large": lambda: keras.applications.MobileNetV3Large(
        weights=None, include_preprocessing=False
    ),
    "mobilenet_v3_small": lambda: keras.applications.MobileNetV3Small(
        weights=None, include_preprocessing=False
    ),
}


def main(_: list[str]) -> None:
    print(f"{'network':<20} {'ours':>7} {'twin':>7} {'ratio':>6}")
    for name, twin in TWINS.items():
        ours = getattr(slimnets, name)
        mine, theirs = time_calls(
            [ours, twin],
            warm_up=1,  # the first of each pays for imports
            runs=_ROUNDS.value,
            before=keras.backend.clear_session,
        )
        ratio = mine.median / theirs.median
        seconds = [f"{timing.median / 1e3:>6.2f}s" for timing in (mine, theirs)]
        print(f"{name:<20} {' '.join(seconds)} {ratio:>6.2f}")


if __name__ == "__main__":
    app.run(main)
