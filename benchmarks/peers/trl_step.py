"""A step of TRL's GRPOTrainer: sampling, reference log-probabilities, forward, backward, clipping, AdamW.

The trainer owns the loop, so it waits for the harness where a step begins. bf16 is autocast. Step 0 is the warm-up.
"""

import os
import sys
import tempfile
import time

import worker

try:
    import trl
    from datasets import Dataset
except ImportError as error:
    worker.unavailable(f"TRL cannot be imported: {error}")
    sys.exit()

from torch_model import is_bf16, versions
from transformers import TrainerCallback


def texts_of(tokenizer, sequences: list[list[int]]) -> list[str]:
    """Texts that have exactly these tokens, as the trainer will read them."""
    texts = [tokenizer.decode(ids, clean_up_tokenization_spaces=False) for ids in sequences]
    for text, ids in zip(texts, sequences, strict=True):
        if tokenizer(text).input_ids != ids:
            raise SystemExit("A prompt has other tokens in transformers than it was drawn with")
    return texts


class Steps(TrainerCallback):
    """Times a step when the harness asks for it; `tokens` are those that a step samples."""

    def __init__(self, tokens: int) -> None:
        self._tokens = tokens
        self._step = 0
        self._began = 0.0

    def on_step_begin(self, args, state, control, **_):
        if self._step > 0:
            index = worker.next_request()
            if index is None:
                # The trainer would go on to its end; nothing of it is wanted.
                os._exit(0)
            if index != self._step:
                raise SystemExit(f'Asked for inputs "{index}", expected {self._step}: steps come in order')
        self._began = time.perf_counter()

    def on_step_end(self, args, state, control, **_):
        seconds = time.perf_counter() - self._began
        if self._step == 0:
            worker.ready(versions() | {"trl": trl.__version__})
        else:
            worker.answer(seconds, self._tokens)
        self._step += 1


def train(job: dict, model, tokenizer, **settings) -> None:
    """Runs the trainer on the job's inputs; `settings` are added to those that every device has."""
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)
    prompts, rollouts, new = len(job["inputs"][0]), job["rollouts"], job["newTokens"]

    def reward(completion_ids, **_) -> list[float]:
        for ids in completion_ids:
            if len(ids) != new:
                raise SystemExit(f'A rollout has "{len(ids)}" tokens, expected {new}')
        return [len(set(ids)) % 7 / 7 for ids in completion_ids]

    config = dict(
        output_dir=tempfile.mkdtemp(),
        num_generations=rollouts,
        max_completion_length=new,
        generation_kwargs={"min_new_tokens": new},
        temperature=1.0,
        beta=0.001,
        learning_rate=1e-6,
        max_steps=len(job["inputs"]),
        shuffle_dataset=False,
        bf16=is_bf16(job),
        gradient_checkpointing=False,
        dataloader_pin_memory=False,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        seed=0,
    )
    texts = texts_of(tokenizer, [ids for inputs in job["inputs"] for ids in inputs])
    trl.GRPOTrainer(
        model=model,
        processing_class=tokenizer,
        reward_funcs=reward,
        args=trl.GRPOConfig(**config, **settings),
        train_dataset=Dataset.from_list([{"prompt": text} for text in texts]),
        callbacks=[Steps(prompts * rollouts * new)],
    ).train()
