"""Visual wake words, person or no person, on 96×96 pixels: MLPerf Tiny's network and schedule.

    slimnets train --config=vww --config.data.source=folder:vw_coco2014_96 --workdir=vww
    slimnets train --config=vww:grey --config.data.source=folder:vw_coco2014_96 --workdir=vww

The data set is COCO's, made by github.com/mlcommons/tiny (benchmark/training/visual_wake_words).
Above 80 % top-1 is the benchmark's target for the int8 file. For the microcontroller:

    slimnets convert vww/best.keras --target=micro --calibration=folder:… --out=vww.tflite

MLPerf Tiny's own trained network is weights="vww_96".
"""

from slimnets.training import default_config


def get_config(pixels="colour"):
    if pixels not in ("colour", "grey"):
        raise ValueError(f"vww:colour or vww:grey, got {pixels!r}")
    config = default_config()
    config.epochs = 50
    config.batch_size = 32

    config.model.name = "mobilenet_v1_025"
    config.model.input_size = (96, 96)
    config.model.channels = 1 if pixels == "grey" else 3
    config.model.kwargs.dropout_keep_prob = 1.0

    config.data.source = "folder:vw_coco2014_96"
    config.data.flip = True
    config.data.shift = 5

    # MLPerf Tiny's: 20 epochs of 0.001, 10 of 0.0005, 20 of 0.00025; here one cosine.
    config.learning_rate.peak = 1e-3
    config.learning_rate.warmup_epochs = 1.0
    return config
