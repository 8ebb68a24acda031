"""Makes tests/fixtures/tiny-models: random models of each family and what transformers says of them, in float64; and
tests/fixtures/rope.json: scaled rotary embeddings by transformers' own formulas, likewise.

    OMP_NUM_THREADS=1 CUDA_VISIBLE_DEVICES="" python tests/parity/make_fixtures.py

in an environment of tests/parity/requirements.txt. Each model is a Hugging Face folder NAME/ and a NAME.json:
tokens of several forests and, at each temperature, log-probabilities, entropies (nats) or scores, and of the loss
sum(c_t * logprob_t + e_t * entropy_t + s_t * score_t) the gradient of every tensor as [norm, projection on a
random vector]. Weights, coefficients and projections come from the number rule of fixture_rules.py.

A forest's reference is computed with each root-to-leaf path written out flat; a token on several paths is counted
on the first of them alone, so that the sum over the flat sequences is the forest's loss.
"""

import json
import math
import os
import shutil
import types
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import torch
from fixture_rules import numbers, rounded, versions, write_json
import transformers
from transformers import modeling_rope_utils
from transformers.utils.logging import disable_progress_bar

FIXTURES = Path(__file__).parent.parent / "fixtures"
OUT = FIXTURES / "tiny-models"
TEMPERATURES = [1.0, 0.7]
COMMON = dict(max_position_embeddings=2048, bos_token_id=1, eos_token_id=2)
# Scaled positions begin at 64, so that the forests reach far beyond.
SCALED = dict(rope_theta=10000.0, original_max_position_embeddings=64)

MODELS = {
    "gqa_untied_f16": dict(
        dtype=torch.float16,
        config=dict(
            vocab_size=97, hidden_size=64, intermediate_size=52, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, head_dim=16, rms_norm_eps=1e-5, tie_word_embeddings=False,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        ),
    ),
    "mha_tied_f32": dict(
        dtype=torch.float32,
        config=dict(
            vocab_size=160, hidden_size=32, intermediate_size=60, num_hidden_layers=3, num_attention_heads=4,
            num_key_value_heads=4, head_dim=8, rms_norm_eps=1e-6, tie_word_embeddings=True,
            rope_parameters={"rope_type": "default", "rope_theta": 100000.0},
        ),
    ),
    "wide_heads_bf16_shards": dict(
        dtype=torch.bfloat16,
        shard_size="60KB",
        plain_rope_theta=True,
        config=dict(
            vocab_size=131, hidden_size=48, intermediate_size=40, num_hidden_layers=2, num_attention_heads=6,
            num_key_value_heads=2, head_dim=12, rms_norm_eps=1e-4, tie_word_embeddings=False,
            rope_parameters={"rope_type": "default", "rope_theta": 500000.0},
        ),
    ),
    "llama_biases_llama3_f32": dict(
        dtype=torch.float32,
        config=dict(
            vocab_size=101, hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, head_dim=8, rms_norm_eps=1e-5, tie_word_embeddings=False,
            attention_bias=True, mlp_bias=True,
            rope_parameters=dict(SCALED, rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0),
        ),
    ),
    "llama_linear_f16": dict(
        dtype=torch.float16,
        config=dict(
            vocab_size=103, hidden_size=24, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
            num_key_value_heads=1, head_dim=12, rms_norm_eps=1e-5, tie_word_embeddings=True,
            rope_parameters={"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0},
        ),
    ),
    "qwen2_yarn_bf16": dict(
        dtype=torch.bfloat16,
        family="Qwen2",
        config=dict(
            vocab_size=107, hidden_size=32, intermediate_size=44, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, rms_norm_eps=1e-6, tie_word_embeddings=True, use_sliding_window=False,
            rope_parameters=dict(SCALED, rope_type="yarn", factor=32.0),
        ),
    ),
    "qwen2_bf16": dict(
        dtype=torch.bfloat16,
        family="Qwen2",
        config=dict(
            vocab_size=113, hidden_size=40, intermediate_size=52, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=1, rms_norm_eps=1e-6, tie_word_embeddings=True, use_sliding_window=False,
            rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
        ),
    ),
    "mistral_f16": dict(
        dtype=torch.float16,
        family="Mistral",
        config=dict(
            vocab_size=127, hidden_size=32, intermediate_size=56, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, head_dim=12, rms_norm_eps=1e-5, tie_word_embeddings=False, sliding_window=None,
            rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
        ),
    ),
    "qwen3_f32": dict(
        dtype=torch.float32,
        family="Qwen3",
        config=dict(
            vocab_size=109, hidden_size=24, intermediate_size=36, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, head_dim=10, rms_norm_eps=1e-6, tie_word_embeddings=False,
            rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
        ),
    ),
    "score_f32": dict(
        dtype=torch.float32,
        score=True,
        config=dict(
            vocab_size=61, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, head_dim=8, rms_norm_eps=1e-5, tie_word_embeddings=False, num_labels=1,
            pad_token_id=0, rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        ),
    ),
}

LLAMA3 = dict(rope_type="llama3", low_freq_factor=1.0, high_freq_factor=4.0)
YARN = dict(rope_type="yarn", original_max_position_embeddings=4096)
ROPES = [
    dict(rope_type="linear", rope_theta=10000.0, factor=2.5),
    dict(LLAMA3, rope_theta=500000.0, factor=8.0, original_max_position_embeddings=8192),
    dict(LLAMA3, rope_theta=500000.0, factor=32.0, original_max_position_embeddings=8192),
    dict(LLAMA3, rope_theta=10000.0, factor=3.0, high_freq_factor=2.5, original_max_position_embeddings=512),
    dict(YARN, rope_theta=1000000.0, factor=4.0),
    dict(YARN, rope_theta=10000.0, factor=16.0, beta_fast=20.0, beta_slow=0.5),
    dict(YARN, rope_theta=10000.0, factor=16.0, truncate=False),
    dict(YARN, rope_theta=10000.0, factor=40.0, mscale=0.707, mscale_all_dim=1.2),
    dict(YARN, rope_theta=10000.0, factor=40.0, mscale=0.707),
    dict(YARN, rope_theta=150000.0, factor=8.0, attention_factor=1.25),
    dict(YARN, rope_theta=10000.0, factor=None),
    dict(YARN, rope_theta=10000.0, factor=4.0, original_max_position_embeddings=7),
]

FORESTS = {
    "flat": ([17, 1, 40, 2], [-1, -1, -1, -1]),
    "forest": ([70, 9, 5, 33, 1, 12, 4, 6, 3], [-1, 0, 1, 1, 0, 4, -1, 6, 6]),
    "long": ([1100], [-1]),
    "long_forest": ([1020, 3, 70, 20, 41], [-1, 0, 0, 1, 1]),
}


def weights(model) -> None:
    """Fills a model from the number rule: matrices with deviation 0.2, norms around 1 with some signs flipped."""
    for name, p in model.named_parameters():
        u = torch.from_numpy(numbers(f"weight:{name}", p.numel())).reshape(p.shape)
        if "norm" in name:
            value = (1.0 + 0.6 * u) * torch.where(u > 0.9, -1.0, 1.0)
        else:
            value = u * 3**0.5 * 0.2
        p.data.copy_(value)


def frequencies(rope, width):
    """Rotary frequencies and the factor of sines and cosines, in float64, by the formulas of the papers."""
    plain = [rope["rope_theta"] ** (-2.0 * i / width) for i in range(width // 2)]
    kind, factor = rope["rope_type"], rope.get("factor")
    turns = [rope.get("original_max_position_embeddings", 0) * f / math.tau for f in plain]
    if kind == "linear":
        return [f / factor for f in plain], 1.0
    if kind == "llama3":
        low, high = rope["low_freq_factor"], rope["high_freq_factor"]
        kept = [min(max((t - low) / (high - low), 0.0), 1.0) for t in turns]
        return [(1.0 - k) * f / factor + k * f for k, f in zip(kept, plain)], 1.0
    if kind == "yarn":
        index = lambda t: width * math.log(rope["original_max_position_embeddings"] / (t * math.tau)) / (
            2.0 * math.log(rope["rope_theta"])
        )
        low, high = max(math.floor(index(32.0)), 0), min(math.ceil(index(1.0)), width - 1)
        divided = [min(max((i - low) / (high - low), 0.0), 1.0) for i in range(width // 2)]
        scale = 0.1 * math.log(factor) + 1.0
        return [d * f / factor + (1.0 - d) * f for d, f in zip(divided, plain)], scale
    assert kind == "default", kind
    return plain, 1.0


class DoubleTorch:
    """torch, but float32 is float64: makes transformers' formulas for scaled frequencies exact."""

    float = float32 = torch.float64

    def __getattr__(self, name):
        return getattr(torch, name)


def make_ropes() -> None:
    shape = dict(
        vocab_size=64, hidden_size=64, intermediate_size=64, num_hidden_layers=1, num_attention_heads=1,
        num_key_value_heads=1, head_dim=64, max_position_embeddings=32768,
    )
    cases = []
    for rope in ROPES:
        config = transformers.LlamaConfig(**shape, rope_parameters=dict(rope))
        modeling_rope_utils.torch = DoubleTorch()
        inverse, scale = modeling_rope_utils.ROPE_INIT_FUNCTIONS[rope["rope_type"]](config)
        modeling_rope_utils.torch = torch
        result = dict(frequencies=rounded(inverse, 15), scale=rounded([scale], 15)[0])
        cases.append(dict(config=dict(model_type="llama", **shape, rope_parameters=rope), **result))
    write_json(FIXTURES / "rope.json", dict(versions=versions(), cases=cases))


def in_float64(model):
    """Stops transformers from rounding to float32 inside its norms and rotary angles."""

    def norm(self, x):
        return self.weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)

    def rotary(self, x, position_ids):
        inverse, scale = frequencies(self.config.rope_parameters, 2 * self.inv_freq.numel())
        inverse = torch.tensor(inverse, dtype=torch.float64)
        assert torch.allclose(self.inv_freq.double(), inverse, rtol=1e-6) and abs(self.attention_scaling - scale) < 1e-6
        angles = position_ids[..., None].double() * inverse
        angles = torch.cat((angles, angles), dim=-1)
        return angles.cos() * scale, angles.sin() * scale

    for module in model.modules():
        kind = type(module).__name__
        if kind.endswith("RMSNorm"):
            module.forward = types.MethodType(norm, module)
        elif kind.endswith("RotaryEmbedding"):
            module.forward = types.MethodType(rotary, module)
    return model


def paths(lengths, parents):
    """Each root-to-leaf path as the forest indexes of its tokens, and whether it is the first path through each."""
    starts = [sum(lengths[:i]) for i in range(len(lengths))]
    seen = set()
    for leaf in range(len(lengths)):
        if leaf in parents:
            continue
        segments, at = [], leaf
        while at != -1:
            segments.insert(0, at)
            at = parents[at]
        index, first = [], []
        for s in segments:
            index += range(starts[s], starts[s] + lengths[s])
            first += [s not in seen] * lengths[s]
            seen.add(s)
        yield index, first


def evaluate(model, tokens, lengths, parents, temperature, score):
    """Log-probability and entropy (or score) of each forest token; NaN where a path begins."""
    out = [torch.full((len(tokens),), float("nan"), dtype=model.dtype) for _ in range(2)]
    for index, first in paths(lengths, parents):
        ids = torch.tensor([[tokens[i] for i in index]])
        hidden = model.model(ids).last_hidden_state[0]
        if score:
            parts = [model.score(hidden)[:, 0]]
            offset = 0
        else:
            logp = torch.log_softmax(model.lm_head(hidden)[:-1] / temperature, dim=-1)
            parts = [logp.gather(1, ids[0, 1:, None])[:, 0], -(logp.exp() * logp).sum(-1)]
            offset = 1
        here = [k for k in range(offset, len(index)) if first[k]]
        at = torch.tensor([index[k] for k in here], dtype=torch.long)
        row = torch.tensor([k - offset for k in here], dtype=torch.long)
        for i, part in enumerate(parts):
            out[i] = out[i].index_put((at,), part[row])
    return out


def listed(positions_total: int, known: list[int]) -> list[int]:
    """Forest tokens whose values are written: all of a small forest, a sample of a large one."""
    if positions_total <= 200:
        return known
    return [i for i in known if i % 16 == 3 or 1016 <= i < 1032 or i >= positions_total - 4]


def case(model, single, name, score, vocab, spelled=str):
    """What a model says of a forest; `spelled` gives the core's name of a parameter that is trained."""
    lengths, parents = FORESTS[name]
    total = sum(lengths)
    tokens = [int((x + 1.0) / 2.0 * vocab) for x in numbers(f"tokens:{name}", total)]
    d = [torch.from_numpy(numbers(f"{kind}:{name}", total)) for kind in ("logprob", "entropy", "score")]
    result = dict(name=name, tokens=tokens, lengths=lengths, parents=parents)
    runs = []
    for temperature in [1.0] if score else TEMPERATURES:
        first, second = evaluate(model, tokens, lengths, parents, temperature, score)
        known = [i for i in range(total) if not first[i].isnan()]
        k = torch.tensor(known)
        loss = (d[2][k] * first[k]).sum() if score else (d[0][k] * first[k] + d[1][k] * second[k]).sum()
        model.zero_grad()
        loss.backward()
        first, second = first.detach(), second.detach()
        with torch.no_grad():
            rough = evaluate(single, tokens, lengths, parents, temperature, score)[0]
        gap = (rough[k].double() - first[k]).abs().max().item()
        print(f"{name} at {temperature}: float32 in transformers as it is departs by {gap:.1e}")
        gradients = {}
        for parameter, p in model.named_parameters():
            if not p.requires_grad:
                continue
            g, parameter = p.grad.flatten(), spelled(parameter)
            projection = torch.from_numpy(numbers(f"projection:{parameter}", g.numel()))
            gradients[parameter] = rounded([g.norm(), g @ projection])
        at = listed(total, known)
        result["listed"] = at
        run = dict(temperature=temperature)
        if score:
            run["scores"] = rounded(first[at])
        else:
            run |= dict(logprobs=rounded(first[at]), entropies=rounded(second[at]))
        runs.append(run | dict(gradients=gradients))
    return result | dict(runs=runs)


def make(name, spec) -> None:
    print(name)
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    family = spec.get("family", "Llama")
    kind = getattr(transformers, family + ("ForSequenceClassification" if spec.get("score") else "ForCausalLM"))
    model = kind(getattr(transformers, family + "Config")(**COMMON, **spec["config"]))
    weights(model)
    model.to(spec["dtype"]).save_pretrained(folder, max_shard_size=spec.get("shard_size", "10MB"))
    if spec.get("plain_rope_theta"):
        path = folder / "config.json"
        config = json.loads(path.read_text())
        config["rope_theta"] = config.pop("rope_parameters")["rope_theta"]
        path.write_text(json.dumps(config, indent=2) + "\n")
    load = dict(attn_implementation="sdpa")
    reference = in_float64(kind.from_pretrained(folder, dtype=torch.float64, **load)).eval()
    assert reference.config.rope_parameters["rope_theta"] == spec["config"]["rope_parameters"]["rope_theta"]
    # torch gives the padding token's row no gradient; nothing is padded here.
    reference.model.embed_tokens.padding_idx = None
    single = kind.from_pretrained(folder, dtype=torch.float32, **load).eval()
    score = bool(spec.get("score"))
    cases = [case(reference, single, f, score, spec["config"]["vocab_size"]) for f in FORESTS]
    write_json(OUT / f"{name}.json", dict(versions=versions(), stored=str(spec["dtype"]).split(".")[-1], cases=cases))


if __name__ == "__main__":
    torch.set_num_threads(1)
    disable_progress_bar()
    OUT.mkdir(parents=True, exist_ok=True)
    make_ropes()
    for name, spec in MODELS.items():
        make(name, spec)
