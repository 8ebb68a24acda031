"""Opens the folder in Hugging Face layout that both sides share."""

import torch
import transformers
from transformers.utils.logging import disable_progress_bar


def open_model(job: dict, dtype: torch.dtype = torch.float32):
    """The job's model in `dtype`, with PyTorch's own attention kernels and the job's number of threads."""
    disable_progress_bar()
    torch.set_num_threads(job["threads"])
    return transformers.AutoModelForCausalLM.from_pretrained(
        job["model"]["path"], dtype=dtype, attn_implementation="sdpa"
    )


def versions() -> dict[str, str]:
    return {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__}


def is_bf16(job: dict) -> bool:
    return job["precision"] == "bf16"
