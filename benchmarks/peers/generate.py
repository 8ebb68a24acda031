"""Greedy decoding by transformers' generate; time counts from when every sequence has its first token."""

import time

import torch
import worker
from torch_model import open_model, versions
from transformers import StoppingCriteria, StoppingCriteriaList


class FirstToken(StoppingCriteria):
    """Notes when the first token is there; never stops."""

    def __init__(self) -> None:
        self.at: float | None = None

    def __call__(self, input_ids, scores, **_):
        if self.at is None:
            self.at = time.perf_counter()
        return torch.zeros(input_ids.shape[0], dtype=torch.bool)


def main() -> None:
    job = worker.read_job()
    model = open_model(job).eval()
    new = job["newTokens"]

    @torch.inference_mode()
    def decode(index: int) -> tuple[float, int]:
        ids = torch.tensor(job["inputs"][index])
        first = FirstToken()
        out = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=new,
            min_new_tokens=new,
            do_sample=False,
            pad_token_id=0,
            stopping_criteria=StoppingCriteriaList([first]),
        )
        seconds = time.perf_counter() - first.at
        made = out.shape[1] - ids.shape[1]
        if made != new:
            raise SystemExit(f'generate gave "{made}" tokens, expected {new}')
        return seconds, ids.shape[0] * (new - 1)

    worker.serve(versions(), decode)


if __name__ == "__main__":
    main()
