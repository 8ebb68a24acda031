"""Optimiser steps of TRL's PPOTrainer on rollouts that are given, beside the core's.

    python tests/parity/trl_ppo.py JOB.json TRL

TRL is the folder of the last release that has the trainer. JOB.json names the folder with the `start`, `critic`,
`reference` and `final` models and the gradients of each step, and holds the trainer's options and the rollouts: for
each batch, the prompts with their completions and rewards. Sampling and the reward model are given; everything else
is the trainer's own. Prints {"steps": [{norm, tensor, distance}], "weights"}.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, sys.argv[2])

from trl_steps import Compared, arguments, train_padding, unused_token, weights_apart

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
from trl.experimental.ppo import PPOConfig, PPOTrainer, ppo_trainer


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    folder = Path(job["folder"])
    batches = [
        [(prompt["prompt"], completion) for prompt in batch for completion in prompt["completions"]]
        for batch in job["generations"]
    ]
    size = len(batches[0])
    temperature = job["options"]["temperature"]
    waiting = iter(batches)
    rewards: list[float] = []

    def generation(policy, queries, _size, padding, _config):
        """The next batch, and the logits of its completions under the policy as it is."""
        batch = next(waiting)
        longest = max(len(completion["tokens"]) for _, completion in batch)
        rows = []
        for query, (prompt, completion) in zip(queries.tolist(), batch, strict=True):
            if [token for token in query if token != unused] != prompt:
                raise SystemExit("A prompt came out of its order")
            tokens = completion["tokens"]
            rows.append(query + tokens + [padding] * (longest - len(tokens)))
        rewards[:] = [completion["reward"] for _, completion in batch]
        all_tokens = torch.tensor(rows)
        logits = ppo_trainer.forward(policy, all_tokens, padding).logits[:, queries.shape[1] - 1 : -1]
        return all_tokens, logits / (temperature + 1e-7)

    value_of = ppo_trainer.get_reward
    given = torch.nn.Identity()

    def get_reward(model, tokens, padding, context):
        if model is not given:
            return value_of(model, tokens, padding, context)
        return None, torch.tensor(rewards, dtype=torch.float32), None

    ppo_trainer.batch_generation = generation
    ppo_trainer.get_reward = get_reward

    def model(name: str):
        return AutoModelForCausalLM.from_pretrained(folder / name, dtype=torch.float32)

    tokenizer = AutoTokenizer.from_pretrained(folder / "start", padding_side="left")
    policy = model("start")
    critic = AutoModelForSequenceClassification.from_pretrained(
        folder / "critic", dtype=torch.float32, num_labels=1
    )
    rows = [prompt + completion["tokens"] for batch in batches for prompt, completion in batch]
    unused = unused_token(rows, policy.config.vocab_size)
    tokenizer.pad_token_id = critic.config.pad_token_id = unused
    for trained in (policy, critic):
        train_padding(trained)
    trainer = PPOTrainer(
        args=PPOConfig(
            **(arguments(job["optimizer"], -1) | {"total_episodes": size * len(batches)}),
            per_device_train_batch_size=size,
            gradient_accumulation_steps=1,
            num_mini_batches=1,
            num_sample_generations=0,
            local_rollout_forward_batch_size=size,
            response_length=max(len(c["tokens"]) for batch in batches for _, c in batch),
            **job["options"],
        ),
        processing_class=tokenizer,
        model=policy,
        ref_model=model("reference"),
        reward_model=given,
        value_model=critic,
        train_dataset=Dataset.from_list([{"input_ids": p} for batch in batches for p, _ in batch]),
    )
    # In the order that they are given in, which the trainer draws anew.
    trainer.dataloader = [
        {"input_ids": tokenizer.pad({"input_ids": [p for p, _ in batch]}, return_tensors="pt").input_ids}
        for batch in batches
    ]
    compared = Compared(folder / "gradients")
    wrapped = trainer.model.module if hasattr(trainer.model, "module") else trainer.model

    class Both:
        """The gradients by the names that the core has, of the policy and of the critic."""

        def named_parameters(self):
            yield from wrapped.policy.named_parameters()
            for name, p in wrapped.value_model.named_parameters():
                yield f"critic.{name}", p

    optimizer = getattr(trainer.optimizer, "optimizer", trainer.optimizer)
    optimizer.register_step_pre_hook(
        lambda *_: compared.compare(Both()))
    trainer.train()
    print(json.dumps({"steps": compared.steps, "weights": weights_apart(policy, folder / "final")}))


main()
