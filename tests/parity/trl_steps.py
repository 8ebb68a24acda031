"""What the comparisons with TRL's trainers have in common: the gradients of each optimiser step beside the core's."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file


class Compared:
    """Compares the gradients of each step with the core's, in `folder/1.safetensors`, `2.safetensors`, …, and those of a
    critic in `critic-1.safetensors`, …"""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.steps: list[dict] = []

    def watch(self, trainer) -> None:
        """Compares before each optimiser step of a trainer, and before gradients are clipped."""
        clip = trainer.accelerator.clip_grad_norm_

        def compare_and_clip(parameters, *args, **options):
            self.compare(trainer.model)
            return clip(parameters, *args, **options)

        trainer.accelerator.clip_grad_norm_ = compare_and_clip

    def compare(self, model) -> None:
        """Compares the gradients that a model's parameters have."""
        step = len(self.steps) + 1
        ours = load_file(self._folder / f"{step}.safetensors")
        critic = self._folder / f"critic-{step}.safetensors"
        if critic.exists():
            ours |= {f"critic.{name}": grad for name, grad in load_file(critic).items()}
        grads = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        # A critic that is not trained has gradients of 0 there, and none here.
        theirs = {name: grad for name, grad in grads.items() if name in ours or grad.abs().max() > 0}
        if set(ours) != set(theirs):
            raise SystemExit(f"Tensors with gradients differ at step {step}: {sorted(set(ours) ^ set(theirs))}")
        norm = torch.sqrt(sum((grad.double() ** 2).sum() for grad in theirs.values())).item()
        apart = {name: distance(ours[name], grad, norm) for name, grad in theirs.items()}
        worst = max(apart, key=apart.get)
        self.steps.append({"norm": norm, "tensor": worst, "distance": apart[worst]})


def distance(ours: torch.Tensor, theirs: torch.Tensor, norm: float) -> float:
    """Of a tensor's gradients, over the norm of theirs, or over 1e-4 of the norm of all where theirs is smaller."""
    apart = (ours.double() - theirs.double()).norm().item()
    return apart / max(theirs.double().norm().item(), 1e-4 * norm)


def weights_apart(model, folder: Path) -> float:
    """Distance of all weights from those in a folder, over how far they are from the ones in `folder/../start`."""
    ours, start = load_file(folder / "model.safetensors"), load_file(folder.parent / "start" / "model.safetensors")
    theirs = {name: p.detach().double() for name, p in model.named_parameters()}
    apart = sum(((ours[name].double() - w) ** 2).sum() for name, w in theirs.items())
    moved = sum(((start[name].double() - w) ** 2).sum() for name, w in theirs.items())
    return torch.sqrt(apart / moved).item()


def arguments(optimizer: dict, steps: int) -> dict:
    """Training arguments of every trainer: f32 on the CPU, a constant learning rate."""
    return dict(
        output_dir=tempfile.mkdtemp(),
        max_steps=steps,
        learning_rate=optimizer["learningRate"],
        adam_beta1=optimizer["beta1"],
        adam_beta2=optimizer["beta2"],
        adam_epsilon=optimizer["epsilon"],
        weight_decay=optimizer["weightDecay"],
        lr_scheduler_type="constant",
        max_grad_norm=optimizer["maxGradNorm"],
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        dataloader_pin_memory=False,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        seed=0,
    )


def unused_token(sequences: list[list[int]], vocabulary: int) -> int:
    """A padding that occurs nowhere: where the end of sequence is also the padding, it is not seen."""
    used = {token for sequence in sequences for token in sequence}
    return next(token for token in range(vocabulary) if token not in used)


def train_padding(model) -> None:
    """Gives the embedding of the configuration's padding a gradient: it is the end of sequence's."""
    model.get_input_embeddings().padding_idx = None
