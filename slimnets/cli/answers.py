"""A picture with what a network answered written under it."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

# Pixels. Smaller pictures are enlarged to hold readable text, by whole factors: nothing blurs.
_LEAST_WIDTH, _LEAST_LETTER = 320, 14
_LINES_IN_HEIGHT = 24  # letters grow with the picture


def with_answer(picture: Image.Image, lines: Sequence[str]) -> Image.Image:
    """The picture, enlarged if it is small, over a strip with the lines.

    Args:
        picture: RGB.
        lines: a line that is too long for the picture's width is cut and ends in "…".
    """
    factor = -(-_LEAST_WIDTH // picture.width)
    if factor > 1 and picture.height * factor <= 4 * _LEAST_WIDTH:
        size = (picture.width * factor, picture.height * factor)
        picture = picture.resize(size, Image.Resampling.NEAREST)
    letter = max(_LEAST_LETTER, min(picture.size) // _LINES_IN_HEIGHT)
    font = ImageFont.load_default(letter)
    step, margin = round(letter * 1.4), letter // 2
    width = max(picture.width, _LEAST_WIDTH)
    sheet = Image.new("RGB", (width, picture.height + step * len(lines) + 2 * margin), "white")
    sheet.paste(picture, ((width - picture.width) // 2, 0))
    draw = ImageDraw.Draw(sheet)
    for row, line in enumerate(lines):
        place = (margin, picture.height + margin + row * step)
        draw.text(place, _fitting(line, font, width - 2 * margin), fill="black", font=font)
    return sheet


def _fitting(line: str, font: ImageFont.ImageFont, width: int) -> str:
    if font.getlength(line) <= width:
        return line
    while line and font.getlength(f"{line}…") > width:
        line = line[:-1]
    return f"{line}…"
