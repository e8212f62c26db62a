"""A picture from a text: whatever text-to-image pipeline of diffusers lies in the image's weights."""

from pathlib import Path

from drawing import draw, read, wishes
from setting_out import OUTPUTS, WEIGHTS, number_type, set_out


def main() -> None:
    """Read the wish, compute, leave ``image.png`` and what it was made from."""
    parser = wishes(__doc__, 7.0, seed=42, steps=25, width=1024, height=1024)
    wish = read(parser, steps=500, side=2048, grain=8)
    device = set_out(wish.seed)
    from diffusers import AutoPipelineForText2Image

    halves = any(Path(WEIGHTS).glob("*/*.fp16.safetensors"))
    pipeline = AutoPipelineForText2Image.from_pretrained(
        WEIGHTS,
        torch_dtype=number_type(device),
        variant="fp16" if halves else None,
        local_files_only=True,
        use_safetensors=True,
    ).to(device)
    draw(pipeline, wish).images[0].save(Path(OUTPUTS, "image.png"))
    print(f"image.png: {wish.width} x {wish.height}, seed {wish.seed}, {wish.steps} steps")


if __name__ == "__main__":
    main()
