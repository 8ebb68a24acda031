"""Opens a folder that the core saved in transformers and compares what both say of the same tokens.

    python tests/parity/check_saved.py FOLDER LOGPROBS.json [--text TEXT] [--tolerance 1e-3]

LOGPROBS.json is what `rmr1 logprobs --model FOLDER (--ids ...|--text TEXT) --json` printed. Prints one JSON object;
ends with status 1 where log-probabilities, the mean NLL or the tokens of TEXT differ.
"""

import argparse
import json
import os
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.utils.logging import disable_progress_bar


def logprobs(folder: Path, ids: list[int]) -> torch.Tensor:
    """Log-probability of each token after the first, float32."""
    model, loading = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    unread = {kind: sorted(names) for kind, names in loading.items() if names}
    if unread:
        raise SystemExit(f'"{folder}": transformers did not read the folder whole: {unread}')
    with torch.no_grad():
        logits = model.eval()(torch.tensor([ids])).logits[0, :-1]
    return torch.log_softmax(logits, -1).gather(1, torch.tensor(ids[1:])[:, None])[:, 0]


def main() -> int:
    parser = argparse.ArgumentParser(description="Compares a saved folder in transformers with the core")
    parser.add_argument("folder", type=Path, help="a folder in Hugging Face layout")
    parser.add_argument("logprobs", type=Path, help="what rmr1 logprobs --json printed of it")
    parser.add_argument("--text", help="also compare its tokens, and that they decode to it")
    parser.add_argument("--tolerance", type=float, default=1e-3, help="of a log-probability")
    arguments = parser.parse_args()

    told = json.loads(arguments.logprobs.read_text())
    ours = torch.tensor(told["logprobs"], dtype=torch.float64)
    theirs = logprobs(arguments.folder, told["ids"]).double()
    if len(ours) != len(theirs):
        raise SystemExit(f'"{arguments.logprobs}": {len(ours)} log-probabilities, expected {len(theirs)}')
    gap = (ours - theirs).abs().max().item()
    nll_gap = (ours.mean() - theirs.mean()).abs().item()
    dtype = str(AutoConfig.from_pretrained(arguments.folder).dtype).removeprefix("torch.")
    result = dict(tokens=len(told["ids"]), dtype=dtype, logprob_gap=gap, mean_nll_gap=nll_gap)
    equal = gap <= arguments.tolerance and nll_gap <= arguments.tolerance / 10
    if arguments.text is not None:
        tokenizer = AutoTokenizer.from_pretrained(arguments.folder)
        ids = tokenizer(arguments.text, add_special_tokens=False).input_ids
        result["same_tokens"] = ids == told["ids"]
        result["same_text"] = tokenizer.decode(told["ids"], clean_up_tokenization_spaces=False) == arguments.text
        equal = equal and result["same_tokens"] and result["same_text"]
    print(json.dumps(dict(equal=equal, **result)))
    return 0 if equal else 1


if __name__ == "__main__":
    disable_progress_bar()
    torch.set_num_threads(1)
    sys.exit(main())
