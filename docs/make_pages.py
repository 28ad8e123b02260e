"""Makes what docs/ does not say by hand: models.md and networks.svg, from the catalogue.

python docs/make_pages.py
"""

from pathlib import Path

FOLDER = Path(__file__).parent


def model_cards() -> str:
    """docs/models.md: a card a network."""
    from slimnets.catalog import list_models, model_info

    lines = [
        "# Model cards",
        "",
        "Made by `docs/make_pages.py` from the catalogue; `slimnets models` prints the same.",
        "Accuracies are the papers' and the reference implementations' on ImageNet.",
    ]
    for name in list_models():
        info = model_info(name)
        options = "".join(f", {key}={value!r}" for key, value in info.options.items())
        facts = [
            (
                "built by",
                f"`slimnets.{info.builder}(input_shape=({info.size}, {info.size}, 3){options})`",
            ),
            ("parameters", f"{info.params:,}"),
            ("multiply-adds", f"{info.macs / 1e6:,.1f} million at {info.size}×{info.size}"),
            ("classes", f"{info.classes:,}"),
            ("top-1, published", "" if info.top1 is None else f"{info.top1:.1f} %"),
            (
                "top-1 in 8 bits, published",
                "" if info.top1_int8 is None else f"{info.top1_int8:.1f} %",
            ),
            (
                "files, estimated",
                ", ".join(
                    f"{kind} {n / 2**20:.1f} MiB" for kind, n in info.estimated_bytes.items()
                ),
            ),
            ("weights", ", ".join(f"`{source}`" for source in info.weight_sources)),
            ("paper", f"[arXiv {info.paper}](https://arxiv.org/abs/{info.paper})"),
            ("licence", info.licence),
        ]
        lines += ["", f"## {name}", "", "| | |", "| --- | --- |"]
        lines += [f"| {label} | {fact} |" for label, fact in facts if fact]
    return "\n".join(lines) + "\n"


def picture() -> bytes:
    """docs/networks.svg: published top-1 against multiply-adds, a line a family."""
    from slimnets import charts
    from slimnets.catalog import published_accuracies

    return charts.svg(charts.networks(published_accuracies(), None)).encode()


def main() -> None:
    from tflite.files.writing import atomic_writer

    for name, content in (("models.md", model_cards().encode()), ("networks.svg", picture())):
        with atomic_writer(FOLDER / name) as file:
            file.write(content)


if __name__ == "__main__":
    main()
