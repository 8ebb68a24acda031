"""Small GGUF vocabularies and the token ids of their oracles.

Writes under tests/fixtures/gguf-tokenizers: `byte_level.gguf`, a byte-level BPE that every way of cutting text before
merging is tried on; `sentence_piece.gguf` and `sentence_piece_bare.gguf`, a SentencePiece BPE with and without a space
before the text; and `cases.json` with token ids and decoded texts.

Two oracles: llama.cpp, and for the models whose `tokenizer.json` says more than llama.cpp keeps (normalisation to NFC,
the case of letters), that tokenizer as the `tokenizers` package runs it. Where both exist they are compared, and a text
on which they differ must be listed below with its reason.
"""

import json
import tempfile
from pathlib import Path

import gguf
import llama_cpp
from fixture_rules import write_json
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

OUT = Path(__file__).parent.parent / "fixtures" / "gguf-tokenizers"
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)

CONTROLS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
USER_TOKENS = ["<think>", "</think>", "<tool_call>"]

CORPUS = [
    "The judge reads both answers, then says which is better and why: it's 12 + 345 = 357, isn't it?",
    "They're sure we've seen that I'd said you'll do; I'm DONE'S HE'LL WE'VE.",
    "for (let i = 0; i < 1000; i++) {\n\t\tsum += values[i] * 2.5;\n    }\r\n\r\n",
    "Größe, naïve café, señor, Łódź, œuvre; ИНТЕРЕС интерес к математике; Ελληνικά γράμματα",
    "数学の問題を解く。答えは四十二です。我们比较两个答案，然后给出结论。안녕하세요 세계",
    "مرحبا بالعالم हिन्दी में नमस्ते नमस्ते नमस्ते हिन्दी हिन्दी ไทยแลนด์",
    "A    B\n\n\nC   \n  D  1234567890 ١٢٣ Ⅷ ½",
    "étatÉtat étatÉtat étatÉtat",
    "snake_case camelCase HTTPServer JSONLines reward model reasoning rubric rubric rubric rubrics",
]

TEXTS = [
    "",
    " ",
    "   ",
    "\n",
    "a",
    " a",
    "  two  spaces   three    four",
    "tabs\tand\t\ttabs \t mixed\r\nlines\n\n\nend   ",
    "   \n   \n x\n",
    "It's, they'RE, I'D, we'Ve 'sure 'LL 'x ' s",
    "0 12 345 6789 1234567890 3.14159 1,000,000 ١٢٣٤ Ⅷ½²",
    "x=1+2*3;y<=z&&!w||#$%^~`@_-/\\|<>{}[]()",
    "Größe naïve ŁÓDŹ Ελληνικά ИНТЕРЕС HTTPServer JSONlines iPhone ÀÉÎ àéî Àé ǅabc",
    "数学の問題、答え。我们比较两个答案，안녕하세요 세계！",
    "हिन्दी नमस्ते ไทยแลนด์ مرحبا",
    "👍🏽 👨‍👩‍👧 😀😀 é\u0301 e\u0301 \u200b\u00a0\u3000x \ufeff",
    "<|im_start|>user\nHi there<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
    "<think>abc</think> <tool_call>{\"a\": 1}",
    "a<|endoftext|> b <|im_start|><|im_start|> c",
    "<|im_start <think",
    "\u0000\u0001\u007f\u0085\u2028",
    "'ſ long s",
    "aaaaaaaaaaaaaaaaaaaaaaa   bbbbbbbbb",
    "rubric rubrics Rubric reasoning rewards better",
    "étatÉtat ÉTATétat",
    "\ue000\U000e0001\U0010ffff\ufffd",
]

CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
REST = r"[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+" + REST
QWEN35 = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+" + REST
LLAMA3 = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+" + REST
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
TEKKEN = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*|\p{{N}}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

# The models' own tokenizers: regular expression, normalisation, and whether whole words come before merges.
HUGGING_FACE = {
    "qwen2": (QWEN2, True, False),
    "qwen35": (QWEN35, True, False),
    "llama-bpe": (LLAMA3, False, True),
    "tekken": (TEKKEN, False, True),
}
LLAMA_CPP_ALONE = ["smollm", "gpt-2", "default", "deepseek-llm", "deepseek-r1-qwen"]

# Texts on which llama.cpp departs from the model's own tokenizer: e + U+0301 is one letter after normalisation, and
# llama.cpp neither sees the case of letters beyond ASCII nor keeps marks with their letter.
DIFFERENCES = {
    "qwen2": {TEXTS[15]},
    "qwen35": {TEXTS[15]},
    "llama-bpe": set(),
    "tekken": {TEXTS[14], "étatÉtat ÉTATétat"},
}


def train():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(GPT), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=256 + 240, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([text for text in CORPUS for _ in range(3)], trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [tuple(merge) for merge in model["merges"]]


# Looser than any of the ways of cutting, so that merges exist which only some of them allow.
GPT = r" ?[\p{L}\p{M}]+|\p{N}+| ?[^\s\p{L}\p{N}]+|\s+"


def write_gguf(path, model, tokens, types, **more) -> None:
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(128)
    writer.add_embedding_length(32)
    writer.add_block_count(1)
    writer.add_feed_forward_length(32)
    writer.add_head_count(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model(model)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    for name, value in more.items():
        getattr(writer, name)(value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


class LlamaCpp:
    def __init__(self, path):
        self.model = llama_cpp.Llama(str(path), vocab_only=True, verbose=False)

    def encode(self, text: str) -> list[int]:
        return self.model.tokenize(text.encode(), add_bos=False, special=True)


def hugging_face(pre, vocab, merges) -> Tokenizer:
    regex, nfc, ignore_merges = HUGGING_FACE[pre]
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, ignore_merges=ignore_merges))
    if nfc:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(regex), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in CONTROLS])
    tokenizer.add_tokens([AddedToken(token, normalized=False, special=False) for token in USER_TOKENS])
    return tokenizer


def byte_level():
    vocab, merges = train()
    # A word that no merges reach: whole words come first, or they do not.
    vocab["Ġreward"] = vocab.get("Ġreward", len(vocab))
    tokens = sorted(vocab, key=vocab.get)
    types = [NORMAL] * len(tokens) + [CONTROL] * len(CONTROLS) + [USER_DEFINED] * len(USER_TOKENS)
    tokens += CONTROLS + USER_TOKENS
    written = dict(
        add_token_merges=[" ".join(merge) for merge in merges],
        add_bos_token_id=tokens.index("<|endoftext|>"),
        add_eos_token_id=tokens.index("<|im_end|>"),
        add_pad_token_id=tokens.index("<|endoftext|>"),
        add_add_bos_token=False,
    )
    cases = {}
    for pre in [*HUGGING_FACE, *LLAMA_CPP_ALONE]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "v.gguf"
            write_gguf(path, "gpt2", tokens, types, add_tokenizer_pre=pre, **written)
            ids = [LlamaCpp(path).encode(text) for text in TEXTS]
        if pre in HUGGING_FACE:
            own = hugging_face(pre, vocab, merges)
            own_ids = [own.encode(text, add_special_tokens=False).ids for text in TEXTS]
            differ = {text for text, a, b in zip(TEXTS, ids, own_ids) if a != b}
            assert differ == DIFFERENCES[pre], (pre, differ)
            ids = own_ids
        assert ids not in cases.values() or pre == "deepseek-r1-qwen", f"{pre} is not told apart"
        cases[pre] = ids
    write_gguf(OUT / "byte_level.gguf", "gpt2", tokens, types, add_tokenizer_pre="qwen2", **written)
    # Ids cut anywhere, so that characters are cut in half.
    own = hugging_face("qwen2", vocab, merges)
    pieces = [ids[: len(ids) // 2 + 1] for ids in cases["qwen2"] if len(ids) > 8]
    decoded = [dict(ids=ids, text=own.decode(ids, skip_special_tokens=True), whole=own.decode(ids, skip_special_tokens=False)) for ids in pieces]
    return dict(ids=cases, decoded=decoded)


def sentence_piece():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(split=True)
    trainer = trainers.BpeTrainer(vocab_size=420, limit_alphabet=150, show_progress=False)
    tokenizer.train_from_iterator([text for text in CORPUS for _ in range(3)], trainer)
    model = json.loads(tokenizer.to_str())["model"]
    formed = ["".join(merge) for merge in model["merges"]]
    letters = [token for token in model["vocab"] if len(token) == 1]
    formed += ["▁▁", "▁▁▁▁", "aa", "aaa", "aaaa", "aaaaa"]
    formed = list(dict.fromkeys(formed))
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)] + formed + letters + ["<think>", "<|im_start|>", "<|im_end|>"]
    types = [UNKNOWN, CONTROL, CONTROL] + [BYTE] * 256 + [NORMAL] * (len(formed) + len(letters)) + [USER_DEFINED, CONTROL, CONTROL]
    scores = [0.0] * 259 + [-float(i) for i in range(len(formed) + len(letters))] + [0.0] * 3
    more = dict(
        add_token_scores=scores,
        add_bos_token_id=1,
        add_eos_token_id=2,
        add_unk_token_id=0,
        add_add_bos_token=False,
    )
    cases = {}
    write_gguf(OUT / "sentence_piece.gguf", "llama", tokens, types, **more)
    with tempfile.TemporaryDirectory() as folder:
        for name, prefix in [("with_space", True), ("bare", False)]:
            path = Path(folder) / f"{name}.gguf"
            write_gguf(path, "llama", tokens, types, add_add_space_prefix=prefix, **more)
            oracle = LlamaCpp(path)
            cases[name] = [oracle.encode(text) for text in TEXTS]
    return cases


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    write_json(OUT / "cases.json", dict(texts=TEXTS, byte_level=byte_level(), sentence_piece=sentence_piece()))
