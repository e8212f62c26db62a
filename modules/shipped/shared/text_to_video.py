"""A short film from a text: whatever text-to-video pipeline of diffusers lies in the image's weights."""

import argparse
from pathlib import Path

from drawing import draw, read, wishes
from setting_out import OUTPUTS, WEIGHTS, number_type, set_out

MOST_FRAMES = 241


def main() -> None:
    """Read the wish, compute, leave ``video.gif`` to look at and each frame as a picture."""
    wish = _wish()
    device = set_out(wish.seed)
    from diffusers import DiffusionPipeline

    pipeline = DiffusionPipeline.from_pretrained(
        WEIGHTS, torch_dtype=number_type(device), local_files_only=True, use_safetensors=True
    ).to(device)
    frames = draw(pipeline, wish, num_frames=wish.frames, output_type="pil").frames[0]
    folder = Path(OUTPUTS, "frames")
    folder.mkdir()
    for number, frame in enumerate(frames, 1):
        frame.save(folder / f"{number:04}.png")
    frames[0].save(
        Path(OUTPUTS, "video.gif"), save_all=True, append_images=frames[1:], duration=round(1000 / wish.fps), loop=0
    )
    print(f"video.gif: {len(frames)} frames of {wish.width} x {wish.height}, seed {wish.seed}, {wish.steps} steps")


def _wish() -> argparse.Namespace:
    parser = wishes(__doc__, 5.0, seed=42, steps=30, width=832, height=480, frames=33, fps=16)
    wish = read(parser, steps=200, side=1280, grain=16)
    if not 1 <= wish.frames <= MOST_FRAMES or wish.frames % 4 != 1:
        parser.error(f"frames is {wish.frames}; it must be 4 n + 1, such as 33, at most {MOST_FRAMES}")
    if not 1 <= wish.fps <= 60:
        parser.error(f"fps is {wish.fps}; it must be from 1 to 60")
    return wish


if __name__ == "__main__":
    main()
