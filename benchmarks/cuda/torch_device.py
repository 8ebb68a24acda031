"""The device and the random model of a job, for the peers that run on a GPU."""

import torch
import transformers
from torch_model import versions

__all__ = ["open_device", "random_model", "synchronize", "versions"]


def open_device(job: dict) -> torch.device:
    """The job's device. Products of f32 matrices, where autocast leaves any, may use the tensor cores' tf32."""
    torch.set_num_threads(job["threads"])
    torch.set_float32_matmul_precision("high")
    device = torch.device(job["device"])
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return device


def random_model(job: dict, dtype: torch.dtype = torch.float32):
    """A model of the job's shape with random weights on its device, with PyTorch's own attention kernels."""
    torch.manual_seed(0)
    config = dict(job["model"]["config"])
    config = transformers.AutoConfig.for_model(config.pop("model_type"), **config)
    with torch.device(job["device"]):
        return transformers.AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation="sdpa")


def synchronize(device: torch.device) -> None:
    """Waits until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
