"""Optimiser steps of TRL's RewardTrainer on pairs that are given, beside the core's.

    python tests/parity/trl_reward.py JOB.json

JOB.json names the folder with the `start` and `final` models and the gradients of each step, and holds the trainer's
options and the pairs' tokens. Prints {"steps": [{norm, tensor, distance}], "weights"}.
"""

import json
import sys
from pathlib import Path

from trl_steps import Compared, arguments, train_padding, unused_token, weights_apart

import torch
import trl
from datasets import Dataset
from transformers import AutoModelForSequenceClassification, AutoTokenizer


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    folder = Path(job["folder"])
    model = AutoModelForSequenceClassification.from_pretrained(
        folder / "start", dtype=torch.float32, num_labels=1
    )
    tokenizer = AutoTokenizer.from_pretrained(folder / "start")
    answers = [pair[name] for pair in job["pairs"] for name in ("chosen_ids", "rejected_ids")]
    tokenizer.pad_token_id = model.config.pad_token_id = unused_token(answers, model.config.vocab_size)
    train_padding(model)
    compared = Compared(folder / "gradients")
    trainer = trl.RewardTrainer(
        model=model,
        processing_class=tokenizer,
        args=trl.RewardConfig(
            **arguments(job["optimizer"], job["steps"]),
            per_device_train_batch_size=len(job["pairs"]) // 2,
            gradient_accumulation_steps=2,
            max_length=None,
            **job["options"],
        ),
        train_dataset=Dataset.from_list(job["pairs"]),
    )
    compared.watch(trainer)
    trainer.train()
    print(json.dumps({"steps": compared.steps, "weights": weights_apart(model, folder / "final")}))


main()
