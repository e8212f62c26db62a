"""What every AI program does first: no network, few threads, one seed, and the best device there is."""

import os

# Before the libraries are imported: they read these once. Weights lie in the image, and nothing is ever fetched.
os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ["TQDM_DISABLE"] = "1"  # bars show times, and a run that shows times never repeats itself
os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # without it, CUDA's matrix products don't repeat

import torch

WEIGHTS = os.environ["WEIGHTS"]
"""Where the image keeps the model."""
OUTPUTS = "/outputs"


def set_out(seed: int) -> torch.device:
    """Make this run repeat itself, on as many threads as the job has cores; the device to compute on."""
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    torch.set_num_interop_threads(1)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.manual_seed(seed)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def number_type(device: torch.device) -> torch.dtype:
    """Half precision where the hardware is made for it."""
    return torch.float16 if device.type == "cuda" else torch.float32
