"""Whether PEFT makes the same model of two folders of adapters, bit for bit.

    python tests/parity/check_adapters.py BASE ONE OTHER

in an environment of tests/parity/requirements.txt. Prints {"equal", "tensors"}; `tensors` are those that PEFT trains.
"""

import json
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import peft
import torch
import transformers
from transformers.utils.logging import disable_progress_bar


def opened(base: str, folder: str):
    task = peft.PeftConfig.from_pretrained(folder).task_type
    kind = transformers.AutoModelForSequenceClassification if task == "SEQ_CLS" else transformers.AutoModelForCausalLM
    return peft.PeftModel.from_pretrained(kind.from_pretrained(base), folder, is_trainable=True).eval()


def main() -> None:
    disable_progress_bar()
    base, one, other = sys.argv[1:]
    models = [opened(base, folder) for folder in (one, other)]
    trained = [{n: p for n, p in model.named_parameters() if p.requires_grad} for model in models]
    ids = torch.arange(24)[None] % models[0].config.vocab_size
    with torch.no_grad():
        results = [model(ids).logits for model in models]
    equal = (
        trained[0].keys() == trained[1].keys()
        and all(torch.equal(p, trained[1][n]) for n, p in trained[0].items())
        and torch.equal(*results)
    )
    print(json.dumps(dict(equal=equal, tensors=len(trained[0]))))


if __name__ == "__main__":
    main()
