"""Optimiser steps of TRL's RewardTrainer on pairs that are given, beside the core's.

    python tests/parity/trl_reward.py JOB.json

JOB.json names the folder with the `start` and `final` models and the gradients of each step, and holds the trainer's
options and the pairs' tokens. Prints {"steps": [{norm, tensor, distance}], "weights"}.
"""

import json
import sys
from pathlib import Path

from trl_steps import Compared, arguments, weights_apart

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
    # The last token that is not padding is scored: an end of sequence that is also the padding would not be.
    used = {token for pair in job["pairs"] for name in ("chosen_ids", "rejected_ids") for token in pair[name]}
    padding = next(token for token in range(model.config.vocab_size) if token not in used)
    tokenizer.pad_token_id = model.config.pad_token_id = padding
    # The embedding of the padding that the configuration names, here the end of sequence, would have no gradient.
    model.get_input_embeddings().padding_idx = None
    compared = Compared(folder / "gradients")
    trl.RewardTrainer(
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
        callbacks=[compared],
    ).train()
    print(json.dumps({"steps": compared.steps, "weights": weights_apart(model, folder / "final")}))


main()
