"""A training step of PyTorch: transformers' model compiled whole, SDPA, fused AdamW, bf16 by autocast, f32 weights."""

import time

import torch
import torch_device
import worker


def main() -> None:
    job = worker.read_job()
    device = torch_device.open_device(job)
    model = torch_device.random_model(job).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=device.type == "cuda")

    @torch.compile(dynamic=False)
    def loss_of(ids: torch.Tensor) -> torch.Tensor:
        return model(input_ids=ids, labels=ids, use_cache=False).loss

    def step(index: int) -> tuple[float, int]:
        ids = torch.tensor(job["inputs"][index])
        torch_device.synchronize(device)
        began = time.perf_counter()
        ids = ids.to(device)
        rows = max(1, job["microBatchTokens"] // ids.shape[1])
        batches = ids.split(rows)
        for batch in batches:
            with torch.autocast(device.type, torch.bfloat16, enabled=job["precision"] == "bf16"):
                loss = loss_of(batch)
            (loss * (len(batch) / len(ids))).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        torch_device.synchronize(device)
        return time.perf_counter() - began, ids.numel()

    worker.serve(torch_device.versions(), step)


if __name__ == "__main__":
    main()
