"""A training step of PyTorch: forward, loss of all tokens but the first, backward, AdamW. bf16 is autocast."""

import time

import torch
import worker
from torch_model import is_bf16, open_model, versions


def main() -> None:
    job = worker.read_job()
    model = open_model(job).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)

    def step(index: int) -> tuple[float, int]:
        ids = torch.tensor(job["inputs"][index])
        began = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=is_bf16(job)):
            loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return time.perf_counter() - began, ids.numel()

    worker.serve(versions(), step)


if __name__ == "__main__":
    main()
