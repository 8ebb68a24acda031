"""Makes tests/fixtures/smollm2_reference.json: what transformers says of SmolLM2-135M-Instruct, dequantised to float32.

    OMP_NUM_THREADS=2 python tests/parity/smollm2_reference.py ~/.cache/rm-r1/smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf

in an environment of tests/parity/requirements.txt; about 3 GB of memory. The prompt is given as ids: the tokenizer
that transformers derives from this GGUF does not split digits as the model was trained to.
"""

import argparse
import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import torch
from fixture_rules import rounded, versions, write_json
from transformers import AutoModelForCausalLM

TEXT = "Decide which of the two answers is better. Question: what is 12 times 11? Answer A: 132, since "
IDS = [
    12654, 489, 527, 282, 260, 827, 5360, 314, 1365, 30, 15232, 42, 732, 314, 216, 33,
    34, 1711, 216, 33, 33, 47, 19842, 330, 42, 216, 33, 35, 34, 28, 1675, 216,
]  # fmt: skip
EOS = 2
NEW_TOKENS = 32
OUT = Path(__file__).parent.parent / "fixtures" / "smollm2_reference.json"


def greedy(model) -> tuple[list[int], list[float]]:
    """Tokens of greedy decoding that never takes EOS, and the lead of each over the second choice, in logits."""
    ids, leads = list(IDS), []
    for _ in range(NEW_TOKENS):
        logits = model(torch.tensor([ids])).logits[0, -1]
        logits[EOS] = -torch.inf
        best = logits.topk(2)
        ids.append(int(best.indices[0]))
        leads.append(float(best.values[0] - best.values[1]))
    return ids[len(IDS) :], leads


def main(gguf: Path, out: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    ids = torch.tensor([IDS])
    logits = model(ids).logits[0]
    nll = torch.nn.functional.cross_entropy(logits[:-1], ids[0, 1:], reduction="none")
    nll.mean().backward()
    norms = {name: float(p.grad.double().norm()) for name, p in model.named_parameters()}
    with torch.no_grad():
        tokens, leads = greedy(model)
    top = logits[-1].detach().topk(20)
    reference = {
        "versions": versions(),
        "weights": gguf.name,
        "text": TEXT,
        "ids": IDS,
        "last_top20_ids": top.indices.tolist(),
        "last_top20_logits": rounded(top.values, 8),
        "token_nll": rounded(nll.detach(), 8),
        "mean_nll": rounded([nll.mean().detach()], 8)[0],
        "gradient_norm": rounded([sum(n * n for n in norms.values()) ** 0.5], 8)[0],
        "gradient_norms": dict(zip(norms, rounded(norms.values(), 8))),
        "greedy_tokens": tokens,
        "greedy_least_lead": min(leads),
    }
    write_json(out, reference)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Makes tests/fixtures/smollm2_reference.json")
    parser.add_argument("gguf", type=Path, help="the Q4_1 GGUF of SmolLM2-135M-Instruct")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    main(arguments.gguf, arguments.out)
