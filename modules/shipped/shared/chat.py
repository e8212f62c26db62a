"""An answer from an instruct model, with a LoRA adapter on top where one is given."""

import argparse
import sys
from pathlib import Path

from setting_out import OUTPUTS, WEIGHTS, number_type, set_out


def main() -> None:
    """Read the question, let the model answer on stdout as it goes, leave ``answer.txt``."""
    wish = _wish()
    device = set_out(wish.seed)
    from transformers import AutoModelForCausalLM, AutoTokenizer, TextStreamer

    tokenizer = AutoTokenizer.from_pretrained(WEIGHTS, local_files_only=True)
    talk = [{"role": "user", "content": wish.prompt}]
    if wish.system:
        talk.insert(0, {"role": "system", "content": wish.system})
    asked = tokenizer.apply_chat_template(talk, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    model = AutoModelForCausalLM.from_pretrained(WEIGHTS, dtype=number_type(device), local_files_only=True)
    length, most = asked["input_ids"].shape[1], model.config.max_position_embeddings
    if length + wish.max_tokens > most:
        sys.exit(
            f"the question has {length} tokens; with {wish.max_tokens} for the answer that is more than the {most} "
            "which this model can hold: ask something shorter, or for a shorter answer"
        )
    if wish.adapter:
        model = _adapted(model, Path(wish.adapter))
    model = model.to(device).eval()
    how = {"do_sample": wish.temperature > 0}
    if wish.temperature > 0:
        how |= {"temperature": wish.temperature, "top_p": wish.top_p}
    answer = model.generate(
        **asked.to(device),
        max_new_tokens=wish.max_tokens,
        pad_token_id=tokenizer.eos_token_id,
        streamer=TextStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True),
        **how,
    )
    text = tokenizer.decode(answer[0, length:], skip_special_tokens=True)
    Path(OUTPUTS, "answer.txt").write_text(text + "\n", encoding="utf-8")
    Path(OUTPUTS, "question.txt").write_text(wish.prompt, encoding="utf-8", newline="")


def _adapted(model: object, folder: Path) -> object:
    """The model with the adapter's weights, which may come from a stranger: tensors only, nothing pickled."""
    from peft import PeftModel

    for name in ("adapter_config.json", "adapter_model.safetensors"):
        if not (folder / name).is_file():
            sys.exit(f"the adapter has no {name}; give the folder `adapter` that the module lora leaves")
    return PeftModel.from_pretrained(model, str(folder))


def _wish() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--prompt", required=True)
    parser.add_argument("--system", default="")
    parser.add_argument("--adapter", default="")
    parser.add_argument("--max-tokens", type=int, default=128)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--top-p", type=float, default=0.9)
    wish = parser.parse_args()
    if not wish.prompt.strip():
        parser.error("the question is empty")
    if not 1 <= wish.max_tokens <= 8192:
        parser.error(f"max_tokens is {wish.max_tokens}; it must be from 1 to 8192")
    if not 0 <= wish.temperature <= 10 or not 0 < wish.top_p <= 1:
        parser.error("temperature must be from 0 (always the likeliest word) to 10, top_p above 0 and at most 1")
    if not 0 <= wish.seed < 2**63:
        parser.error(f"seed is {wish.seed}; it must not be negative")
    return wish


if __name__ == "__main__":
    main()
