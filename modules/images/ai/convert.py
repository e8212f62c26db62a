"""Turns a GGUF file into a folder that transformers loads at once: taking the numbers apart takes a minute."""

import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

folder, name, target = sys.argv[1:]
torch.set_num_threads(1)
AutoTokenizer.from_pretrained(folder, gguf_file=name).save_pretrained(target)
unpacked = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name)
# It still counts as packed, and as such can't be saved: its numbers go into one that never was.
config = unpacked.config
if hasattr(config, "quantization_config"):
    del config.quantization_config
plain = AutoModelForCausalLM.from_config(config)
plain.load_state_dict(unpacked.state_dict())
plain.to(torch.bfloat16).save_pretrained(target)
