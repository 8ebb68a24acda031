"""Greedy decoding of one sequence by llama.cpp; time counts from when it has its first token."""

import time

import worker
from gguf_model import Model, versions


def main() -> None:
    job = worker.read_job()
    model = Model(job["model"]["path"], job["threads"])

    def decode(index: int) -> tuple[float, int]:
        [prompt] = job["inputs"][index]
        model.clear()
        token = model.next_token(prompt)
        steps = job["newTokens"] - 1
        began = time.perf_counter()
        for _ in range(steps):
            token = model.next_token([token])
        return time.perf_counter() - began, steps

    worker.serve(versions(), decode)


if __name__ == "__main__":
    main()
