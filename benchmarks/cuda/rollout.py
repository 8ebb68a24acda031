"""Sampling by transformers' generate with bf16 weights; time counts from when every sequence has its first token."""

import time

import torch
import torch_device
import worker
from transformers import StoppingCriteria, StoppingCriteriaList


class FirstToken(StoppingCriteria):
    """Notes when the first token is there; never stops."""

    def __init__(self, device: torch.device) -> None:
        self.at: float | None = None
        self._device = device

    def __call__(self, input_ids, scores, **_):
        if self.at is None:
            torch_device.synchronize(self._device)
            self.at = time.perf_counter()
        return torch.zeros(input_ids.shape[0], dtype=torch.bool, device=input_ids.device)


def main() -> None:
    job = worker.read_job()
    device = torch_device.open_device(job)
    dtype = torch.bfloat16 if job["precision"] == "bf16" else torch.float32
    model = torch_device.random_model(job, dtype).eval()
    new = job["newTokens"]

    @torch.inference_mode()
    def rollout(index: int) -> tuple[float, int, dict[str, float]]:
        ids = torch.tensor(job["inputs"][index], device=device)
        first = FirstToken(device)
        out = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=new,
            min_new_tokens=new,
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            pad_token_id=0,
            stopping_criteria=StoppingCriteriaList([first]),
        )
        torch_device.synchronize(device)
        seconds = time.perf_counter() - first.at
        made = out.shape[1] - ids.shape[1]
        if made != new:
            raise SystemExit(f'generate gave "{made}" tokens, expected {new}')
        return seconds, len(ids) * (new - 1), {"meanContext": ids.shape[1] + new / 2}

    worker.serve(torch_device.versions(), rollout)


if __name__ == "__main__":
    main()
