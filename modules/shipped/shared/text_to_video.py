"""A short film from a text: whatever text-to-video pipeline of diffusers lies in the image's weights."""

import argparse
import json
import sys
from pathlib import Path

from setting_out import OUTPUTS, WEIGHTS, number_type, set_out

LARGEST = 1280
MOST_FRAMES = 241
MOST_STEPS = 200


def main() -> None:
    """Read the wish, compute, leave ``video.gif`` to look at and each frame as a picture."""
    wish = _wish()
    device = set_out(wish.seed)
    import torch
    from diffusers import DiffusionPipeline

    pipeline = DiffusionPipeline.from_pretrained(
        WEIGHTS, torch_dtype=number_type(device), local_files_only=True, use_safetensors=True
    ).to(device)
    pipeline.set_progress_bar_config(disable=True)

    def tell(_pipeline: object, step: int, _timestep: object, values: dict[str, object]) -> dict[str, object]:
        print(f"step {step + 1} of {wish.steps}", file=sys.stderr, flush=True)
        return values

    found = pipeline(
        prompt=wish.prompt,
        negative_prompt=wish.negative or None,
        num_frames=wish.frames,
        num_inference_steps=wish.steps,
        guidance_scale=wish.guidance,
        width=wish.width,
        height=wish.height,
        # Made on the processor, so that one seed starts from the same noise on every device.
        generator=torch.Generator("cpu").manual_seed(wish.seed),
        callback_on_step_end=tell,
        output_type="pil",
    )
    frames = found.frames[0]
    folder = Path(OUTPUTS, "frames")
    folder.mkdir()
    for number, frame in enumerate(frames, 1):
        frame.save(folder / f"{number:04}.png")
    frames[0].save(
        Path(OUTPUTS, "video.gif"), save_all=True, append_images=frames[1:], duration=round(1000 / wish.fps), loop=0
    )
    Path(OUTPUTS, "parameters.json").write_text(json.dumps(vars(wish), ensure_ascii=False, indent=1), encoding="utf-8")
    print(f"video.gif: {len(frames)} frames of {wish.width} x {wish.height}, seed {wish.seed}, {wish.steps} steps")


def _wish() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--prompt", required=True)
    parser.add_argument("--negative", default="")
    defaults = (("seed", 42), ("steps", 30), ("width", 832), ("height", 480), ("frames", 33), ("fps", 16))
    for name, default in defaults:
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--guidance", type=float, default=5.0)
    wish = parser.parse_args()
    if not 1 <= wish.steps <= MOST_STEPS:
        parser.error(f"steps is {wish.steps}; it must be from 1 to {MOST_STEPS}")
    if not all(16 <= side <= LARGEST and side % 16 == 0 for side in (wish.width, wish.height)):
        parser.error(f"the size is {wish.width} x {wish.height}; each side must be a multiple of 16, at most {LARGEST}")
    if not 1 <= wish.frames <= MOST_FRAMES or wish.frames % 4 != 1:
        parser.error(f"frames is {wish.frames}; it must be 4 n + 1, such as 33, at most {MOST_FRAMES}")
    if not 1 <= wish.fps <= 60:
        parser.error(f"fps is {wish.fps}; it must be from 1 to 60")
    if not 0 <= wish.seed < 2**63:
        parser.error(f"seed is {wish.seed}; it must not be negative")
    return wish


if __name__ == "__main__":
    main()
