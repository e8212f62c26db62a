"""What programs that make pictures of a text share: the wish, its limits, the steps of the pipeline, what is told."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from setting_out import OUTPUTS


def wishes(description: str | None, guidance: float, **defaults: int) -> argparse.ArgumentParser:
    """The words of a wish; ``defaults`` are its whole numbers."""
    parser = argparse.ArgumentParser(description=description, allow_abbrev=False)
    parser.add_argument("--prompt", required=True)
    parser.add_argument("--negative", default="")
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--guidance", type=float, default=guidance)
    return parser


def read(parser: argparse.ArgumentParser, *, steps: int, side: int, grain: int) -> argparse.Namespace:
    """The wish, of at most so many steps and of sides that are a multiple of ``grain`` and at most ``side``."""
    wish = parser.parse_args()
    if not 1 <= wish.steps <= steps:
        parser.error(f"steps is {wish.steps}; it must be from 1 to {steps}")
    if not all(grain <= each <= side and each % grain == 0 for each in (wish.width, wish.height)):
        size = f"{wish.width} x {wish.height}"
        parser.error(f"the size is {size}; each side must be a multiple of {grain}, at most {side}")
    if not 0 <= wish.seed < 2**63:
        parser.error(f"seed is {wish.seed}; it must not be negative")
    return wish


def draw(pipeline: Any, wish: argparse.Namespace, **more: object) -> Any:
    """What the pipeline makes of the wish; ``more`` is what only its kind knows. Writes down what it was made from."""
    import torch

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
        **more,
    )
    Path(OUTPUTS, "parameters.json").write_text(json.dumps(vars(wish), ensure_ascii=False, indent=1), encoding="utf-8")
    return found
