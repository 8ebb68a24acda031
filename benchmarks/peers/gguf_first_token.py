"""Opening a model in llama.cpp and taking one token after the prompt. The time begins after the imports."""

import time

import worker
from gguf_model import Model, versions


def main() -> None:
    job = worker.read_job()

    def first_token(index: int) -> tuple[float, int]:
        [prompt] = job["inputs"][index]
        began = time.perf_counter()
        model = Model(job["model"]["path"], job["threads"])
        model.next_token(prompt)
        return time.perf_counter() - began, len(prompt)

    worker.serve(versions(), first_token, warm_up=False)


if __name__ == "__main__":
    main()
