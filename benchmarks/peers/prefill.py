"""A forward pass of transformers up to the logits of the last token. In bf16 the weights are bf16."""

import time

import torch
import worker
from torch_model import is_bf16, open_model, versions


def main() -> None:
    job = worker.read_job()
    model = open_model(job, torch.bfloat16 if is_bf16(job) else torch.float32).eval()

    @torch.inference_mode()
    def prefill(index: int) -> tuple[float, int]:
        ids = torch.tensor(job["inputs"][index])
        began = time.perf_counter()
        int(model(ids, logits_to_keep=1).logits[0, -1].argmax())
        return time.perf_counter() - began, ids.numel()

    worker.serve(versions(), prefill)


if __name__ == "__main__":
    main()
