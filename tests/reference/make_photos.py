"""Make photos.npz: what torchvision's MobileNetV2 with its real weights sees in real photographs.

    python -m tests.reference.make_photos WEIGHTS.pth CROPS.npz

WEIGHTS.pth is mobilenet_v2-b0353104.pth; `python -m tests.reference.photos` writes CROPS.npz. Needs
torch and torchvision.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import torch
import torchvision

from .golden import write_npz
from .photos import PHOTOS, digest, network_input

SHA256_START = "b0353104"


def main(weights: Path, crops: Path) -> None:
    """Ask the network in float32 and float64; keep the latter's logits."""
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    if not sha256.startswith(SHA256_START):
        raise ValueError(f"{weights} has SHA-256 {sha256}, which must start with {SHA256_START}.")
    net = torchvision.models.mobilenet_v2()
    net.load_state_dict(torch.load(weights, weights_only=True))
    net.eval()
    with np.load(crops) as file:
        pixels = np.stack([file[name] for name in PHOTOS])
    nchw = torch.from_numpy(network_input(pixels)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        rounded = net(nchw).numpy()
        exact = net.double()(nchw.double()).numpy()
    top5 = np.argsort(-exact, axis=1)[:, :5]
    for (name, photo), best in zip(PHOTOS.items(), top5, strict=True):
        if photo.classes and not set(photo.classes) & set(best.tolist()):
            raise RuntimeError(f"{name}: none of {photo.classes} in PyTorch's top 5, {best}.")
    meta = {
        "reference": f"torchvision {torchvision.__version__}, torch {torch.__version__}",
        "weights_sha256": sha256,
        "noise": float(np.max(np.abs(rounded - exact).max(1) / exact.std(1))),
        "photos": [
            {"name": name, "classes": photo.classes, "sha256": digest(image)}
            for (name, photo), image in zip(PHOTOS.items(), pixels, strict=True)
        ],
    }
    write_npz(
        "photos",
        logits=exact.astype(np.float32),
        top5=top5.astype(np.int32),
        meta=np.frombuffer(json.dumps(meta).encode(), np.uint8),
    )
    print(f"noise {meta['noise']:.0e}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
