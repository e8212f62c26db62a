"""Turns a GGUF file into a folder that transformers loads at once: taking the numbers apart takes a minute."""

import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

folder, name, target = sys.argv[1:]
torch.set_num_threads(1)
AutoTokenizer.from_pretrained(folder, gguf_file=name).save_pretrained(target)
AutoModelForCausalLM.from_pretrained(folder, gguf_file=name).to(torch.bfloat16).save_pretrained(target)
