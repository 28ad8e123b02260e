"""torchvision's networks as files of other runtimes, made in a process without TensorFlow.

    python benchmarks/torch_peers.py mobilenet_v2 --size=224 --folder=DIR

Writes DIR/mobilenet_v2.onnx by torch.onnx and DIR/mobilenet_v2.tflite by litert-torch, where these
are installed, with random weights. PyTorch and TensorFlow in one process can end in a crash (with
PyTorch's CUDA builds they do), so `peers.py` calls this.
"""

import argparse
import importlib.util
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("network")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--folder", type=Path, required=True)
    chosen = parser.parse_args()
    import torch
    import torchvision

    torch.manual_seed(0)
    network = torchvision.models.get_model(chosen.network, weights=None).eval()
    image = torch.rand(1, 3, chosen.size, chosen.size) * 2 - 1
    torch.onnx.export(
        network, (image,), str(chosen.folder / f"{chosen.network}.onnx"), external_data=False
    )
    if importlib.util.find_spec("litert_torch"):
        import litert_torch

        made = litert_torch.convert(network, (image,))
        made.export(str(chosen.folder / f"{chosen.network}.tflite"))


if __name__ == "__main__":
    main()
