"""Makes a text-to-video pipeline that is as small as can be, with random weights: its films are noise.

The parts and their wiring are those of Wan 2.1, so that one program runs this and the real one.
"""

import sys

import torch
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanPipeline, WanTransformer3DModel
from tiny_tokenizers import byte_tokenizer
from transformers import UMT5Config, UMT5EncoderModel

torch.manual_seed(0)
torch.set_num_threads(1)
tokenizer = byte_tokenizer()
text = UMT5Config(
    vocab_size=len(tokenizer), d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, pad_token_id=0, eos_token_id=1
)
transformer = WanTransformer3DModel(
    patch_size=(1, 2, 2),
    num_attention_heads=2,
    attention_head_dim=12,
    in_channels=16,
    out_channels=16,
    text_dim=32,
    freq_dim=64,
    ffn_dim=64,
    num_layers=2,
    cross_attn_norm=True,
    qk_norm="rms_norm_across_heads",
    rope_max_seq_len=32,
)
vae = AutoencoderKLWan(
    base_dim=8, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True]
)
WanPipeline(
    tokenizer=tokenizer,
    text_encoder=UMT5EncoderModel(text),
    transformer=transformer,
    vae=vae,
    scheduler=UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0),
).save_pretrained(sys.argv[1], safe_serialization=True)
