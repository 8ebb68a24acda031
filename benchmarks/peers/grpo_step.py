"""A step of TRL's GRPOTrainer on the folder that both sides share, on the CPU, all rollouts at once."""

import trl_step
import worker
from torch_model import open_model
from transformers import AutoTokenizer


def main() -> None:
    job = worker.read_job()
    tokenizer = AutoTokenizer.from_pretrained(job["model"]["path"], padding_side="left")
    rollouts = len(job["inputs"][0]) * job["rollouts"]
    trl_step.train(
        job,
        open_model(job),
        tokenizer,
        per_device_train_batch_size=rollouts,
        gradient_accumulation_steps=1,
        use_cpu=True,
    )


if __name__ == "__main__":
    main()
