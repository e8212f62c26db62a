"""A picture from a text: whatever text-to-image pipeline of diffusers lies in the image's weights."""

import argparse
import json
import sys
from pathlib import Path

from setting_out import OUTPUTS, WEIGHTS, number_type, set_out

LARGEST = 2048
MOST_STEPS = 500


def main() -> None:
    """Read the wish, compute, leave ``image.png`` and what it was made from."""
    wish = _wish()
    device = set_out(wish.seed)
    import torch
    from diffusers import AutoPipelineForText2Image

    halves = any(Path(WEIGHTS).glob("*/*.fp16.safetensors"))
    pipeline = AutoPipelineForText2Image.from_pretrained(
        WEIGHTS,
        torch_dtype=number_type(device),
        variant="fp16" if halves else None,
        local_files_only=True,
        use_safetensors=True,
    ).to(device)
    pipeline.set_progress_bar_config(disable=True)

    def tell(_pipeline: object, step: int, _timestep: object, values: dict[str, object]) -> dict[str, object]:
        print(f"step {step + 1} of {wish.steps}", file=sys.stderr, flush=True)
        return values

    found = pipeline(
        prompt=wish.prompt,
        negative_prompt=wish.negative or None,
        num_inference_steps=wish.steps,
        guidance_scale=wish.guidance,
        width=wish.width,
        height=wish.height,
        # Made on the processor, so that one seed starts from the same noise on every device.
        generator=torch.Generator("cpu").manual_seed(wish.seed),
        callback_on_step_end=tell,
    )
    found.images[0].save(Path(OUTPUTS, "image.png"))
    Path(OUTPUTS, "parameters.json").write_text(json.dumps(vars(wish), ensure_ascii=False, indent=1), encoding="utf-8")
    print(f"image.png: {wish.width} x {wish.height}, seed {wish.seed}, {wish.steps} steps")


def _wish() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--prompt", required=True)
    parser.add_argument("--negative", default="")
    for name, default in (("seed", 42), ("steps", 25), ("width", 1024), ("height", 1024)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--guidance", type=float, default=7.0)
    wish = parser.parse_args()
    if not 1 <= wish.steps <= MOST_STEPS:
        parser.error(f"steps is {wish.steps}; it must be from 1 to {MOST_STEPS}")
    if not all(8 <= side <= LARGEST and side % 8 == 0 for side in (wish.width, wish.height)):
        parser.error(f"the size is {wish.width} x {wish.height}; each side must be a multiple of 8, at most {LARGEST}")
    if not 0 <= wish.seed < 2**63:
        parser.error(f"seed is {wish.seed}; it must not be negative")
    return wish


if __name__ == "__main__":
    main()
