"""Writes sample.pth and sample_legacy.pth beside this file. Needs PyTorch; the tests do not.

Every tensor counts 0, 1, 2, … in its own reading order, times 0.5: exact in every float type.
"""

from collections import OrderedDict
from pathlib import Path

import torch


def count(*shape: int) -> torch.Tensor:
    size = torch.Size(shape).numel()
    return (torch.arange(size) * 0.5).reshape(shape)


def main() -> None:
    shared = count(2, 3, 4)
    state = OrderedDict(
        {
            "module.float": count(2, 3),
            "module.double": count(3).double(),
            "module.half": count(3).half(),
            "module.bfloat16": count(3).bfloat16(),
            "module.long": torch.arange(3),
            "module.bool": torch.tensor([True, False, True]),
            "module.uint16": torch.arange(3).to(torch.uint16),
            "module.scalar": torch.tensor(1431430),
            "module.empty": torch.zeros(0, 5),
            "module.parameter": torch.nn.Parameter(count(2, 2)),
            "module.shared": shared,
            "module.shared_row": shared[1, :, 1:3],
            "module.transposed": count(4, 3).t(),
            "module.channels_last": count(1, 2, 3, 4).to(memory_format=torch.channels_last),
        }
    )
    checkpoint = {"epoch": 3, "best": 0.5, "arch": "x", "sizes": [1, 2], "state_dict": state}
    folder = Path(__file__).parent
    torch.save(checkpoint, folder / "sample.pth")
    del state["module.uint16"]  # the legacy format has no such storage
    torch.save(checkpoint, folder / "sample_legacy.pth", _use_new_zipfile_serialization=False)


if __name__ == "__main__":
    main()
