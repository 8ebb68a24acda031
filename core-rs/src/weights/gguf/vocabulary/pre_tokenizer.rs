//! How byte-level vocabularies cut a text before merging, by the names that llama.cpp gives to the ways of cutting
//! (`tokenizer_pre` in `llama-vocab.cpp`).

use serde_json::{Value, json};

use super::Result;

/// The contractions, words, digits, symbols and whitespace of tiktoken's `cl100k` with other numbers of digits a piece.
/// Where llama.cpp spells the contractions out, the models' own `tokenizer.json` ignores case; the two part only at
/// U+017F, the long s.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN35: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// As the models' `tokenizer.json` has it. llama.cpp cannot tell the case of letters beyond ASCII, and cuts
/// marks off their letters.
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)";
/// Letters that have a case, as some older Unicode had them. llama.cpp takes wide spaces (U+2000 and up) for whitespace
/// alone before it looks for these, so that it never finds them among the symbols and CJK letters below.
const DEEPSEEK_LETTERS: &str = "\
    \\s?[A-Za-z\u{b5}\u{c0}-\u{d6}\u{d8}-\u{f6}\u{f8}-\u{1ba}\u{1bc}-\u{1bf}\u{1c4}-\u{293}\
    \u{295}-\u{2af}\u{370}-\u{373}\u{376}\u{377}\u{37b}-\u{37d}\u{37f}\u{386}\u{388}-\u{38a}\u{38c}\
    \u{38e}-\u{3a1}\u{3a3}-\u{3f5}\u{3f7}-\u{481}\u{48a}-\u{52f}\u{531}-\u{556}\u{10a0}-\u{10c5}\
    \u{13a0}-\u{13f5}\u{13f8}-\u{13fd}\u{1c90}-\u{1cba}\u{1cbd}-\u{1cbf}\u{1d00}-\u{1d2b}\
    \u{1d6b}-\u{1d77}\u{1d79}-\u{1d9a}\u{1e00}-\u{1f15}\u{1f18}-\u{1f1d}\u{1f20}-\u{1f45}\
    \u{1f48}-\u{1f4d}\u{1f50}-\u{1f57}\u{1f59}\u{1f5b}\u{1f5d}\u{1f5f}-\u{1f7d}\u{1f80}-\u{1fb4}\
    \u{1fb6}-\u{1fbc}\u{1fbe}\u{1fc2}-\u{1fc4}\u{1fc6}-\u{1fcc}\u{1fd0}-\u{1fd3}\u{1fd6}-\u{1fdb}\
    \u{1fe0}-\u{1fec}\u{1ff2}-\u{1ff4}\u{1ff6}-\u{1ffc}\u{2102}\u{2107}\u{210a}-\u{2113}\u{2115}\
    \u{2119}-\u{211d}\u{2124}\u{2126}\u{2128}\u{212a}-\u{212d}\u{212f}-\u{2134}\u{2139}\
    \u{213c}-\u{213f}\u{2145}-\u{2149}\u{214e}\u{2183}\u{2184}\u{2c00}-\u{2c7b}\u{2c7e}-\u{2ce4}\
    \u{2ceb}-\u{2cee}\u{2cf2}\u{2cf3}\u{a640}-\u{a66d}\u{a680}-\u{a69b}\u{a722}-\u{a76f}\
    \u{a771}-\u{a787}\u{a78b}-\u{a78e}\u{ab70}-\u{abbf}\u{fb00}-\u{fb06}\u{fb13}-\u{fb17}\
    \u{ff21}-\u{ff3a}\u{ff41}-\u{ff5a}\u{10400}-\u{1044f}\u{104b0}-\u{104d3}\u{104d8}-\u{104fb}\
    \u{10c80}-\u{10cb2}\u{10cc0}-\u{10cf2}\u{118a0}-\u{118df}\u{1e900}-\u{1e943}]+";
const DEEPSEEK_SYMBOLS: &str =
    "\\s?[!-/:-~\u{ff01}-\u{ff0f}\u{ff1a}-\u{ff5e}\u{2018}-\u{201f}\u{3000}-\u{3002}]+";
const DEEPSEEK_CJK: &str = "[\u{4e00}-\u{9fa5}\u{800}-\u{4e00}\u{ac00}-\u{d7ff}]+";

/// What stands before the merges.
pub(super) struct Cutting {
    pub normalizer: Value,
    pub pre_tokenizer: Value,
    /// A word that is a token is not built by merges.
    pub whole_words_first: bool,
    /// Whether such models begin every text with their BOS token.
    pub adds_bos: bool,
}

impl Cutting {
    pub(super) fn named(name: &str) -> Result<Self> {
        let cut = |parts: Vec<Value>| Self {
            normalizer: Value::Null,
            pre_tokenizer: json!({ "type": "Sequence", "pretokenizers": parts }),
            whole_words_first: false,
            adds_bos: false,
        };
        let by =
            |regexes: &[&str]| cut(regexes.iter().map(|r| split(r)).chain([byte_level(false)]).collect());
        let nfc = || json!({ "type": "NFC" });
        Ok(match name {
            "gpt-2" => cut(vec![byte_level(true)]),
            "smollm" => cut(vec![json!({ "type": "Digits", "individual_digits": true }), byte_level(true)]),
            "default" => by(&[r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", r"[0-9][0-9][0-9]"]),
            "llama-bpe" | "llama3" | "llama-v3" => {
                Self { whole_words_first: true, adds_bos: true, ..by(&[LLAMA3]) }
            }
            "tekken" => Self { whole_words_first: true, adds_bos: true, ..by(&[TEKKEN]) },
            "qwen2" => Self { normalizer: nfc(), ..by(&[QWEN2]) },
            "qwen35" => Self { normalizer: nfc(), ..by(&[QWEN35]) },
            "deepseek-r1-qwen" => by(&[QWEN2]),
            "deepseek-llm" => {
                by(&[r"[\r\n]", DEEPSEEK_LETTERS, DEEPSEEK_SYMBOLS, r"\s+$", DEEPSEEK_CJK, r"\p{N}+"])
            }
            other => {
                return Err(format!(
                    "tokenizer.ggml.pre is \"{other}\", expected \"smollm\", \"gpt-2\", \"default\", \"llama-bpe\", \
                     \"qwen2\", \"qwen35\", \"deepseek-llm\", \"deepseek-r1-qwen\" or \"tekken\""
                ));
            }
        })
    }
}

pub(super) fn byte_level(use_regex: bool) -> Value {
    json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex })
}

fn split(regex: &str) -> Value {
    json!({ "type": "Split", "pattern": { "Regex": regex }, "behavior": "Isolated", "invert": false })
}
