"""Makes a text-to-image pipeline that is as small as can be, with random weights: its pictures are noise.

The parts and their wiring are those of Stable Diffusion XL, so that one program runs this and the real one.
"""

import sys

import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from tiny_tokenizers import clip_tokenizer
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

torch.manual_seed(0)
torch.set_num_threads(1)
tokenizer = clip_tokenizer()
text = CLIPTextConfig(
    vocab_size=len(tokenizer),
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    projection_dim=32,
    bos_token_id=tokenizer.bos_token_id,
    eos_token_id=tokenizer.eos_token_id,
    pad_token_id=tokenizer.pad_token_id,
)
unet = UNet2DConditionModel(
    sample_size=64,
    in_channels=4,
    out_channels=4,
    layers_per_block=1,
    block_out_channels=(32, 64),
    down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
    up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    attention_head_dim=(2, 4),
    transformer_layers_per_block=(1, 1),
    use_linear_projection=True,
    addition_embed_type="text_time",
    addition_time_embed_dim=8,
    projection_class_embeddings_input_dim=6 * 8 + 32,  # six numbers about the size, and the pooled text
    cross_attention_dim=2 * 32,  # both text encoders side by side
)
vae = AutoencoderKL(
    latent_channels=4,
    block_out_channels=(32, 64),
    down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
    up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
    sample_size=128,
)
StableDiffusionXLPipeline(
    vae=vae,
    text_encoder=CLIPTextModel(text),
    text_encoder_2=CLIPTextModelWithProjection(text),
    tokenizer=tokenizer,
    tokenizer_2=tokenizer,
    unet=unet,
    scheduler=EulerDiscreteScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012),
    add_watermarker=False,
).save_pretrained(sys.argv[1], safe_serialization=True)
