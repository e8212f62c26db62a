"""Trains a LoRA adapter (Hu et al. 2021) for an instruct model on somebody's examples."""

import argparse
import json
import sys
from pathlib import Path

from setting_out import OUTPUTS, WEIGHTS, set_out

MOST_EXAMPLES = 100_000


def main() -> None:
    """Read the examples, train, leave ``adapter/`` and the loss of each step in ``losses.csv``."""
    wish = _wish()
    examples = _examples(Path(wish.data))
    device = set_out(wish.seed)
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(WEIGHTS, local_files_only=True)
    # Full precision: the small steps of training get lost in half of it.
    model = AutoModelForCausalLM.from_pretrained(WEIGHTS, dtype=torch.float32, local_files_only=True)
    lora = LoraConfig(
        r=wish.rank, lora_alpha=2 * wish.rank, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    model = get_peft_model(model, lora).to(device).train()
    optimizer = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=wish.learning_rate)
    batches = _batches([_tokens(tokenizer, example, wish.length) for example in examples], wish)
    losses = []
    for step in range(1, wish.steps + 1):
        inputs, labels, mask = (part.to(device) for part in next(batches))
        loss = model(input_ids=inputs, labels=labels, attention_mask=mask).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
        print(f"step {step} of {wish.steps}: loss {losses[-1]:.4f}", flush=True)
        if losses[-1] != losses[-1]:
            sys.exit("the loss is no number any more; try a smaller learning_rate")
    model.save_pretrained(f"{OUTPUTS}/adapter", safe_serialization=True)
    Path(OUTPUTS, "adapter", "README.md").unlink(missing_ok=True)  # a form that nobody filled in
    rows = [f"{step},{loss:.6f}" for step, loss in enumerate(losses, 1)]
    Path(OUTPUTS, "losses.csv").write_text("step,loss\n" + "\n".join(rows) + "\n")
    few = max(1, len(losses) // 5)
    first, last = sum(losses[:few]) / few, sum(losses[-few:]) / few
    print(f"loss from {first:.4f} to {last:.4f} in {wish.steps} steps on {len(examples)} examples")


def _examples(path: Path) -> list[dict[str, str]]:
    """JSON lines of ``{"prompt": …, "answer": …}``."""
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            example = json.loads(line)
            found.append({name: str(example[name]) for name in ("prompt", "answer")})
        except (ValueError, KeyError, TypeError, RecursionError):
            sys.exit(f'line {number} of the examples is not {{"prompt": "…", "answer": "…"}}')
        if len(found) > MOST_EXAMPLES:
            sys.exit(f"there are more than {MOST_EXAMPLES} examples")
    if not found:
        sys.exit('there are no examples; give lines of {"prompt": "…", "answer": "…"}')
    return found


def _tokens(tokenizer: object, example: dict[str, str], most: int) -> tuple[list[int], list[int]]:
    """Tokens of a talk, and what is learnt of them: the answer only, the question counts as -100."""
    question = [{"role": "user", "content": example["prompt"]}]
    head = tokenizer.apply_chat_template(question, add_generation_prompt=True, tokenize=False)
    asked = tokenizer(head, add_special_tokens=False)["input_ids"]
    answered = tokenizer(example["answer"], add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]
    if len(asked) >= most:
        sys.exit(f"a question has {len(asked)} tokens, and {most} are read of an example: give a larger length")
    return (asked + answered)[:most], ([-100] * len(asked) + answered)[:most]


def _batches(rows: list[tuple[list[int], list[int]]], wish: argparse.Namespace):
    """Batches without end, in an order that follows from the seed."""
    import torch

    chance = torch.Generator().manual_seed(wish.seed)
    while True:
        order = torch.randperm(len(rows), generator=chance).tolist()
        for start in range(0, len(order), wish.batch):
            chosen = [rows[number] for number in order[start : start + wish.batch]]
            longest = max(len(tokens) for tokens, _ in chosen)
            inputs = torch.tensor([tokens + [0] * (longest - len(tokens)) for tokens, _ in chosen])
            labels = torch.tensor([labels + [-100] * (longest - len(labels)) for _, labels in chosen])
            mask = torch.tensor([[1] * len(tokens) + [0] * (longest - len(tokens)) for tokens, _ in chosen])
            yield inputs, labels, mask


def _wish() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--data", required=True)
    bounds = (("steps", 60, 100_000), ("rank", 8, 256), ("batch", 2, 256), ("length", 512, 8192))
    for name, default, _ in bounds:
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    wish = parser.parse_args()
    for name, _, most in bounds:
        if not 1 <= getattr(wish, name) <= most:
            parser.error(f"{name} is {getattr(wish, name)}; it must be from 1 to {most}")
    if not 0 < wish.learning_rate <= 1:
        parser.error("learning_rate must be above 0 and at most 1")
    if not 0 <= wish.seed < 2**63:
        parser.error(f"seed is {wish.seed}; it must not be negative")
    return wish


if __name__ == "__main__":
    main()
