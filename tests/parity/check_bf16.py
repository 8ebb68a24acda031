"""How far the core at bf16, and PyTorch's autocast to bfloat16, are from PyTorch in float32.

    python tests/parity/check_bf16.py FOLDER TOLD.json

FOLDER holds weights in float32 and an optimizer.safetensors whose first moments are the core's gradients of the mean
negative log-likelihood, at precision bf16, of the tokens in TOLD.json: {"ids": [...], "logprobs": [...]}, one
log-probability for each token after the first. Prints one JSON object: the mean NLL of float32, and [the core's,
PyTorch's] distance of the log-probabilities, their mean and each tensor's gradient. A distance is the norm of the
difference from float32 over the norm of the float32 value.
"""

import argparse
import json
import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM
from transformers.utils.logging import disable_progress_bar

LOGPROBS, MEAN_NLL = "log-probabilities", "mean NLL"


def differentiate(model, ids: list[int]) -> dict[str, torch.Tensor]:
    """Log-probabilities, of logits widened as transformers' loss does it, and the gradients of their negative mean."""
    tokens = torch.tensor([ids])
    logits = model(tokens).logits[0, :-1].float()
    logprobs = torch.log_softmax(logits, -1).gather(1, tokens[0, 1:, None])[:, 0]
    model.zero_grad()
    (-logprobs.mean()).backward()
    return {LOGPROBS: logprobs.detach()} | {name: p.grad.clone() for name, p in model.named_parameters()}


def with_mean(values: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    values = {name: x.double() for name, x in values.items()}
    return values | {MEAN_NLL: -values[LOGPROBS].mean()}


def main(folder: Path, told: Path) -> None:
    passage = json.loads(told.read_text())
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    exact = with_mean(differentiate(model, passage["ids"]))
    with torch.autocast("cpu", torch.bfloat16):
        theirs = with_mean(differentiate(model, passage["ids"]))
    prefix = "first."
    moments = load_file(folder / "optimizer.safetensors")
    gradients = {name.removeprefix(prefix): x for name, x in moments.items() if name.startswith(prefix)}
    ours = with_mean({LOGPROBS: torch.tensor(passage["logprobs"])} | gradients)
    if ours.keys() != exact.keys():
        raise SystemExit(f'"{folder}": the tensors differ: {sorted(ours.keys() ^ exact.keys())}')
    distances = {
        name: [((side[name] - x).norm() / x.norm()).item() for side in (ours, theirs)] for name, x in exact.items()
    }
    print(json.dumps(dict(mean_nll=exact[MEAN_NLL].item(), distances=distances)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Compares the core at bf16 with PyTorch's autocast")
    parser.add_argument("folder", type=Path, help="a folder in Hugging Face layout, with the optimizer's state")
    parser.add_argument("told", type=Path, help="tokens, and the core's log-probabilities at bf16")
    arguments = parser.parse_args()
    disable_progress_bar()
    torch.set_num_threads(1)
    main(arguments.folder, arguments.told)
