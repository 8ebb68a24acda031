"""Optimiser steps of TRL's GRPOTrainer on rollouts that are given, beside the core's.

    python tests/parity/trl_grpo.py JOB.json

JOB.json names the folder with `start`, `reference` and `final` models and the gradients of each step, and holds the
trainer's options and the rollouts: for each generation, for each prompt, its tokens and its completions with their
rewards. Everything but the sampling is the trainer's own. Prints {"steps": [{norm, tensor, distance}], "weights"}.
"""

import json
import sys
from pathlib import Path

from trl_steps import Compared, arguments, train_padding, weights_apart

import torch
import trl
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    folder = Path(job["folder"])
    prompts = [prompt for generation in job["generations"] for prompt in generation]
    per_prompt = len(prompts[0]["completions"])

    def rollouts(asked: list[str], trainer) -> dict:
        completions = [
            prompts[int(index)]["completions"][at % per_prompt] for at, index in enumerate(asked)
        ]
        return {
            "prompt_ids": [prompts[int(index)]["prompt"] for index in asked],
            "completion_ids": [completion["tokens"] for completion in completions],
            "logprobs": None,
            "given": [completion["reward"] for completion in completions],
        }

    model = AutoModelForCausalLM.from_pretrained(folder / "start", dtype=torch.float32)
    train_padding(model)
    compared = Compared(folder / "gradients")
    trainer = trl.GRPOTrainer(
        model=model,
        processing_class=AutoTokenizer.from_pretrained(job["tokenizer"]),
        reward_funcs=lambda given, **_: given,
        rollout_func=rollouts,
        args=trl.GRPOConfig(
            **arguments(job["optimizer"], job["steps"]),
            num_generations=per_prompt,
            per_device_train_batch_size=job["microBatch"],
            gradient_accumulation_steps=len(job["generations"][0]) * per_prompt // job["microBatch"],
            shuffle_dataset=False,
            **job["options"],
        ),
        train_dataset=Dataset.from_list([{"prompt": str(index)} for index in range(len(prompts))]),
    )
    compared.watch(trainer)
    # Into the reference that it made of the model, whose forward it has changed.
    reference = AutoModelForCausalLM.from_pretrained(folder / "reference", dtype=torch.float32)
    trainer.ref_model.load_state_dict(reference.state_dict())
    trainer.train()
    print(json.dumps({"steps": compared.steps, "weights": weights_apart(model, folder / "final")}))


main()
