//! The tokenizer of a GGUF file, rebuilt as the `tokenizer.json` that it once was.

mod pre_tokenizer;
mod sentence_piece;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};
use tokenizers::models::bpe::Vocab;

use self::pre_tokenizer::{Cutting, byte_level};
use super::container::{Metadata, Result};
use crate::tokenizer::{Tokenizer, merge_of};
use crate::weights::TextAssets;

const TOKENS: &str = "tokenizer.ggml.tokens";
const TOKEN_TYPES: &str = "tokenizer.ggml.token_type";
const MERGES: &str = "tokenizer.ggml.merges";
const BOS: &str = "tokenizer.ggml.bos_token_id";
const EOS: &str = "tokenizer.ggml.eos_token_id";
/// End of turn and end of message: where a chat model stops to let another speak.
const ENDS: [&str; 2] = ["tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"];
const PADDING: &str = "tokenizer.ggml.padding_token_id";

/// Control tokens that end what a model says, whether or not the file names them so; of those that llama.cpp knows
/// (`special_eog_ids` in `llama-vocab.cpp`), the ones of the families that this crate runs.
const END_TEXTS: [&str; 10] = [
    "<|eot_id|>",
    "<|eom_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<end_of_turn>",
    "</s>",
    "<eos>",
    "<｜end▁of▁sentence｜>",
];

/// llama.cpp's `llama_token_type`.
mod token_type {
    pub const NORMAL: i64 = 1;
    pub const UNKNOWN: i64 = 2;
    pub const CONTROL: i64 = 3;
    pub const USER_DEFINED: i64 = 4;
    pub const UNUSED: i64 = 5;
    pub const BYTE: i64 = 6;
}

/// Special tokens by id, as the metadata names them.
pub(super) struct SpecialIds {
    pub bos: Option<u32>,
    pub eos: Vec<u32>,
    pub pad: Option<u32>,
}

impl SpecialIds {
    pub(super) fn read(metadata: &Metadata) -> Result<Self> {
        let id = |key: &str| -> Result<Option<u32>> {
            let id = metadata.size(key)?;
            id.map(|id| u32::try_from(id).map_err(|_| format!("{key} is \"{id}\", expected a token id")))
                .transpose()
        };
        let mut eos: Vec<u32> = id(EOS)?.into_iter().collect();
        for key in ENDS {
            eos.extend(id(key)?.filter(|end| !eos.contains(end)));
        }
        let tokens = metadata.texts(TOKENS)?.unwrap_or_default();
        let types = metadata.integers(TOKEN_TYPES)?.unwrap_or_default();
        for (id, (token, kind)) in (0..).zip(tokens.iter().zip(types)) {
            if *kind == token_type::CONTROL && END_TEXTS.contains(token) && !eos.contains(&id) {
                eos.push(id);
            }
        }
        Ok(Self { bos: id(BOS)?, eos, pad: id(PADDING)? })
    }
}

/// The tokenizer, template and special tokens; no tokenizer where the file was written without one.
pub(super) fn text_assets(metadata: &Metadata, ids: &SpecialIds) -> Result<TextAssets> {
    let tokens = metadata.texts(TOKENS)?.unwrap_or_default();
    let tokenizer = match metadata.text("tokenizer.ggml.model")? {
        None | Some("no_vocab" | "none") => None,
        Some("gpt2") => Some(byte_level_bpe(metadata, ids, tokens)?),
        Some("llama") => Some(sentence_piece::tokenizer(metadata, ids, tokens)?),
        Some(other) => {
            return Err(format!(
                "tokenizer.ggml.model is \"{other}\", expected \"gpt2\" (byte-level BPE) or \"llama\" (SentencePiece BPE)"
            ));
        }
    };
    let mut named_templates = BTreeMap::new();
    for key in metadata.keys() {
        if let Some(name) = key.strip_prefix("tokenizer.chat_template.") {
            named_templates.extend(metadata.text(key)?.map(|text| (name.to_owned(), text.to_owned())));
        }
    }
    let spelled = |id: Option<u32>| Some((*tokens.get(id? as usize)?).to_owned());
    Ok(TextAssets {
        tokenizer,
        chat_template: metadata.text("tokenizer.chat_template")?.map(str::to_owned),
        named_templates,
        bos_token: spelled(ids.bos),
        eos_token: spelled(ids.eos.first().copied()),
        pad_token: spelled(ids.pad),
    })
}

/// The tokens by text, and those that are found whole in any text.
struct Tokens {
    vocab: Vocab,
    added: Vec<Value>,
}

impl Tokens {
    /// `types` must be as long as `tokens`.
    fn read(tokens: &[&str], types: &[i64]) -> Result<Self> {
        let mut vocab = Vocab::with_capacity(tokens.len());
        let mut added = Vec::new();
        for (id, (token, kind)) in (0_u32..).zip(tokens.iter().zip(types)) {
            if vocab.insert((*token).to_owned(), id).is_some() {
                return Err(format!("Token \"{token}\" is in {TOKENS} twice, the second time with id {id}"));
            }
            let special = match *kind {
                token_type::NORMAL | token_type::UNUSED | token_type::BYTE => continue,
                token_type::UNKNOWN | token_type::CONTROL => true,
                token_type::USER_DEFINED => false,
                other => return Err(format!("Token \"{token}\" has type \"{other}\", expected 1 to 6")),
            };
            added.push(
                json!({ "id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": special }),
            );
        }
        Ok(Self { vocab, added })
    }
}

fn token_types<'a>(metadata: &'a Metadata, tokens: &[&str]) -> Result<&'a [i64]> {
    let types = metadata.integers(TOKEN_TYPES)?.ok_or_else(|| format!("{TOKEN_TYPES} is missing"))?;
    if types.len() != tokens.len() {
        return Err(format!(
            "{TOKEN_TYPES} has {} entries, expected one for each of {} tokens",
            types.len(),
            tokens.len()
        ));
    }
    Ok(types)
}

fn byte_level_bpe(metadata: &Metadata, ids: &SpecialIds, tokens: &[&str]) -> Result<Tokenizer> {
    let cutting = Cutting::named(metadata.text("tokenizer.ggml.pre")?.unwrap_or("default"))?;
    let Tokens { vocab, added } = Tokens::read(tokens, token_types(metadata, tokens)?)?;
    let merges = metadata.texts(MERGES)?.ok_or_else(|| format!("{MERGES} is missing"))?;
    let merges = merges
        .iter()
        .map(|merge| merge_of(merge).ok_or_else(|| format!("Merge \"{merge}\" is not two tokens")))
        .collect::<Result<_>>()?;
    let settings = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": cutting.normalizer,
        "pre_tokenizer": cutting.pre_tokenizer,
        "post_processor": post_processor(metadata, ids, tokens, cutting.adds_bos)?,
        "decoder": byte_level(true),
        "model": { "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
            "ignore_merges": cutting.whole_words_first, "vocab": {}, "merges": [] },
    });
    Tokenizer::build(settings, vocab, merges).map_err(|error| error.to_string())
}

/// The template that adds the special tokens which the file wants around every text, for programs that ask for them.
/// `adds_bos` is the habit of the tokenizer's kind, for a file that does not say.
fn post_processor(metadata: &Metadata, ids: &SpecialIds, tokens: &[&str], adds_bos: bool) -> Result<Value> {
    let mut single = vec![json!({ "Sequence": { "id": "A", "type_id": 0 } })];
    let mut pair = vec![single[0].clone(), json!({ "Sequence": { "id": "B", "type_id": 0 } })];
    let mut special = HashMap::new();
    for (key, id, front) in [
        ("tokenizer.ggml.add_bos_token", ids.bos, true),
        ("tokenizer.ggml.add_eos_token", ids.eos.first().copied(), false),
    ] {
        if !metadata.flag(key)?.unwrap_or(front && adds_bos && id.is_some()) {
            continue;
        }
        let token = id.and_then(|id| Some((id, *tokens.get(id as usize)?)));
        let (id, token) =
            token.ok_or_else(|| format!("{key} is \"true\", but the file names no such token"))?;
        special.insert(token, json!({ "id": token, "ids": [id], "tokens": [token] }));
        let piece = json!({ "SpecialToken": { "id": token, "type_id": 0 } });
        for template in [&mut single, &mut pair] {
            let at = if front { 0 } else { template.len() };
            template.insert(at, piece.clone());
        }
    }
    if special.is_empty() {
        return Ok(Value::Null);
    }
    Ok(json!({ "type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": special }))
}
