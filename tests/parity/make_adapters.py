"""Makes tests/fixtures/adapters: low-rank adapters as PEFT writes them, on two of the tiny models, and what PEFT says
of the models with them, in float64.

    OMP_NUM_THREADS=1 CUDA_VISIBLE_DEVICES="" python tests/parity/make_adapters.py

in an environment of tests/parity/requirements.txt. Each is a folder NAME/ and a NAME.json in the form of
make_fixtures.py, of the gradients of what is trained alone: adapters, and the score head where there is one.
"""

import json
import shutil

from make_fixtures import FIXTURES, FORESTS, OUT, case, in_float64
import peft
import torch
from fixture_rules import numbers, versions, write_json
import transformers
from transformers.utils.logging import disable_progress_bar

ADAPTERS = FIXTURES / "adapters"
SETS = {
    "causal": dict(
        base="llama_biases_llama3_f32",
        kind=transformers.AutoModelForCausalLM,
        lora=dict(r=3, lora_alpha=7, lora_dropout=0.1, target_modules=["q_proj", "k_proj", "gate_proj", "down_proj"]),
    ),
    "score": dict(
        base="score_f32",
        kind=transformers.AutoModelForSequenceClassification,
        lora=dict(r=5, lora_alpha=5, lora_dropout=0.0, target_modules="all-linear"),
    ),
}


def spelled(parameter: str) -> str:
    """The core's name of a parameter of the model that PEFT put adapters into."""
    if parameter.startswith("score."):
        return "score.weight"
    return "base_model.model." + parameter.replace(".default", "")


def make(name: str, spec) -> None:
    print(name)
    folder, base, score = ADAPTERS / name, OUT / spec["base"], name == "score"
    shutil.rmtree(folder, ignore_errors=True)
    task = "SEQ_CLS" if score else "CAUSAL_LM"
    adapted = peft.get_peft_model(spec["kind"].from_pretrained(base), peft.LoraConfig(task_type=task, **spec["lora"]))
    for parameter, p in adapted.named_parameters():
        if p.requires_grad:
            p.data.copy_(0.3 * torch.from_numpy(numbers(f"adapter:{parameter}", p.numel())).reshape(p.shape))
    adapted.save_pretrained(folder)
    (folder / "README.md").unlink()
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text())
    # A set and a path of this machine: the same bytes each time and anywhere.
    config["target_modules"] = sorted(config["target_modules"])
    config["base_model_name_or_path"] = f"../../tiny-models/{spec['base']}"
    path.write_text(json.dumps(config, indent=2) + "\n")

    def load(dtype):
        model = spec["kind"].from_pretrained(base, dtype=dtype, attn_implementation="sdpa")
        model = peft.PeftModel.from_pretrained(model, folder, is_trainable=True).to(dtype)
        return model.base_model.model.eval()

    reference, single = in_float64(load(torch.float64)), load(torch.float32)
    # torch gives the padding token's row no gradient; nothing is padded here.
    reference.model.embed_tokens.padding_idx = None
    vocab = reference.config.vocab_size
    cases = [case(reference, single, forest, score, vocab, spelled) for forest in FORESTS if "long" not in forest]
    made_by = dict(versions(), peft=peft.__version__)
    write_json(ADAPTERS / f"{name}.json", dict(versions=made_by, base=spec["base"], cases=cases))


if __name__ == "__main__":
    torch.set_num_threads(1)
    disable_progress_bar()
    ADAPTERS.mkdir(parents=True, exist_ok=True)
    for name, spec in SETS.items():
        make(name, spec)
