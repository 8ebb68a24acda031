//! SentencePiece BPE: pieces with scores instead of merges (Kudo and Richardson 2018, "SentencePiece").
//!
//! SentencePiece joins the neighbours whose joint piece scores best, leftmost first. Any two pieces that form a third
//! are therefore a merge, ranked by the score of what they form; llama.cpp does the same on the fly.

use std::collections::HashMap;

use serde_json::json;
use tokenizers::models::bpe::Merges;

use super::{Result, SpecialIds, TOKENS, Tokens, post_processor, token_type, token_types};
use crate::tokenizer::Tokenizer;
use crate::weights::gguf::container::Metadata;

const SCORES: &str = "tokenizer.ggml.scores";

/// What stands for a space inside a piece.
const SPACE: &str = "\u{2581}";

/// Longest piece that merges can form, in bytes. The longest in use have 48; the work of finding merges grows with the
/// square of the length.
const MAX_PIECE: usize = 512;

/// Most merges a piece, on average: vocabularies in use have about 2.
const MAX_MERGES_A_PIECE: usize = 16;

pub(super) fn tokenizer(metadata: &Metadata, ids: &SpecialIds, tokens: &[&str]) -> Result<Tokenizer> {
    let types = token_types(metadata, tokens)?;
    let scores = metadata.floats(SCORES)?.ok_or_else(|| format!("{SCORES} is missing"))?;
    if scores.len() != tokens.len() {
        return Err(format!(
            "{SCORES} has {} entries, expected one for each of {} tokens",
            scores.len(),
            tokens.len()
        ));
    }
    if let Some(at) = scores.iter().position(|score| !score.is_finite()) {
        return Err(format!("{SCORES} holds \"{}\" at {at}, expected finite numbers", scores[at]));
    }
    let merges = merges(tokens, types, scores)?;
    let Tokens { vocab, added } = Tokens::read(tokens, types)?;
    if let Some(byte) = (0..=u8::MAX).find(|byte| !vocab.contains_key(&format!("<0x{byte:02X}>"))) {
        return Err(format!("{TOKENS} lacks \"<0x{byte:02X}>\", expected a token for every byte"));
    }
    let unknown = types.iter().position(|kind| *kind == token_type::UNKNOWN).map(|id| tokens[id]);
    let prefix = metadata.flag("tokenizer.ggml.add_space_prefix")?.unwrap_or(true);
    let spaces = json!({ "type": "Replace", "pattern": { "String": " " }, "content": SPACE });
    let mut normalizers = vec![spaces];
    let mut decoders = vec![
        json!({ "type": "Replace", "pattern": { "String": SPACE }, "content": " " }),
        json!({ "type": "ByteFallback" }),
        json!({ "type": "Fuse" }),
    ];
    if prefix {
        normalizers.insert(0, json!({ "type": "Prepend", "prepend": SPACE }));
        decoders.push(json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
    }
    let settings = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": { "type": "Sequence", "normalizers": normalizers },
        "pre_tokenizer": null,
        "post_processor": post_processor(metadata, ids, tokens, true)?,
        "decoder": { "type": "Sequence", "decoders": decoders },
        "model": { "type": "BPE", "dropout": null, "unk_token": unknown, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
            "vocab": {}, "merges": [] },
    });
    Tokenizer::build(settings, vocab, merges).map_err(|error| error.to_string())
}

/// Every pair of pieces that forms a piece, best score first. Pairs of one score are ordered as transformers'
/// converter has them: the longer left part first, then the longer right part.
fn merges(tokens: &[&str], types: &[i64], scores: &[f32]) -> Result<Merges> {
    let mergeable = |kind: i64| matches!(kind, token_type::NORMAL | token_type::UNUSED | token_type::BYTE);
    let pieces: HashMap<&str, f32> = (tokens.iter().zip(types).zip(scores))
        .filter(|((_, kind), _)| mergeable(**kind))
        .map(|((token, _), score)| (*token, *score))
        .collect();
    let mut merges = Vec::new();
    for (token, _) in tokens.iter().zip(types).filter(|(_, kind)| mergeable(**kind)) {
        if token.len() > MAX_PIECE {
            let start: String = token.chars().take(32).collect();
            return Err(format!(
                "Token \"{start}…\" has {} bytes, expected at most {MAX_PIECE}",
                token.len()
            ));
        }
        for (at, _) in token.char_indices().skip(1) {
            let (left, right) = token.split_at(at);
            if pieces.contains_key(left) && pieces.contains_key(right) {
                merges.push((pieces[token], left, right));
            }
        }
        if merges.len() > MAX_MERGES_A_PIECE * tokens.len() {
            return Err(format!(
                "{TOKENS} has more than {MAX_MERGES_A_PIECE} merges for each of {} pieces, expected about 2",
                tokens.len()
            ));
        }
    }
    merges.sort_by(|(score, left, right), (other, other_left, other_right)| {
        let lengths = |left: &str, right: &str| (left.chars().count(), right.chars().count());
        other.total_cmp(score).then_with(|| lengths(other_left, other_right).cmp(&lengths(left, right)))
    });
    Ok(merges.into_iter().map(|(_, left, right)| (left.to_owned(), right.to_owned())).collect())
}
