"""A step of TRL's GRPOTrainer on a random model, sampling by transformers' generate, in the micro-batches that ours has."""

import tempfile

import torch_device
import trl_step
import worker
from transformers import AutoModelForCausalLM, AutoTokenizer


def main() -> None:
    job = worker.read_job()
    device = torch_device.open_device(job)
    prompt, rollouts = len(job["inputs"][0][0]), len(job["inputs"][0]) * job["rollouts"]
    room = job["microBatchTokens"] // (prompt + job["newTokens"])
    at_once = max(each for each in range(1, room + 1) if rollouts % each == 0)
    # The trainer reads its reference from the folder that the model names.
    with tempfile.TemporaryDirectory() as folder:
        torch_device.random_model(job).save_pretrained(folder)
        model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="sdpa").to(device)
        tokenizer = AutoTokenizer.from_pretrained(job["model"]["tokenizer"], padding_side="left")
        trl_step.train(
            job,
            model,
            tokenizer,
            per_device_train_batch_size=at_once,
            gradient_accumulation_steps=rollouts // at_once,
            use_cpu=device.type == "cpu",
        )


if __name__ == "__main__":
    main()
