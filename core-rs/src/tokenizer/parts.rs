//! What a tokenizer's JSON consists of, checked before the `tokenizers` crate may build it: it trusts merges to fit the
//! vocabulary, and accepts settings that this crate does not.

use serde_json::{Value, json};
use tokenizers::models::bpe::{Merges, Vocab};

/// Ids above this come from a damaged file: the largest vocabularies in use hold about 2^18 tokens.
const MAX_TOKEN_ID: u64 = 1 << 24;

/// How many times longer replacements may make a text, one after another. Those in use make it no longer: they write
/// one letter for another.
const MAX_GROWTH: usize = 64;

/// Refuses what the `tokenizers` crate accepts and this one does not.
pub(super) fn check_settings(settings: &Value) -> std::result::Result<(), String> {
    let model = settings.get("model").and_then(Value::as_object).ok_or("The tokenizer has no \"model\"")?;
    let kind = model.get("type").and_then(Value::as_str).unwrap_or("");
    if kind != "BPE" {
        return Err(format!("Tokenizer model \"{kind}\" is not supported, expected \"BPE\""));
    }
    if let Some(dropout) = model.get("dropout").filter(|dropout| !dropout.is_null())
        && dropout.as_f64() != Some(0.0)
    {
        return Err(format!("Tokenizer has BPE dropout \"{dropout}\", expected none"));
    }
    for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
        if let Some(affix) = model.get(key).and_then(Value::as_str).filter(|affix| !affix.is_empty()) {
            return Err(format!("Tokenizer has {key} \"{affix}\", expected none"));
        }
    }
    for part in ["normalizer", "decoder"] {
        let growth = settings.get(part).map_or(1, growth);
        if growth > MAX_GROWTH {
            return Err(format!(
                "The replacements of the tokenizer's {part} can make a text \"{growth}\" times longer, expected at \
                 most {MAX_GROWTH}"
            ));
        }
    }
    Ok(())
}

/// Takes the vocabulary and the merges out of a tokenizer's JSON.
pub(super) fn take_tables(settings: &mut Value) -> std::result::Result<(Vocab, Merges), String> {
    let model = &mut settings["model"];
    let Some(Value::Object(vocab)) = model.get_mut("vocab").map(|vocab| std::mem::replace(vocab, json!({})))
    else {
        return Err("The tokenizer's model has no \"vocab\"".into());
    };
    let vocab = vocab.into_iter().map(|(token, id)| {
        let id = token_id(&id).map_err(|found| format!("Token \"{token}\" has id \"{found}\""))?;
        Ok((token, id))
    });
    let vocab = vocab.collect::<std::result::Result<Vocab, String>>()?;
    let Some(Value::Array(merges)) =
        model.get_mut("merges").map(|merges| std::mem::replace(merges, json!([])))
    else {
        return Err("The tokenizer's model has no \"merges\"".into());
    };
    let merges = merges.into_iter().enumerate().map(|(rank, merge)| {
        let pair = match &merge {
            Value::String(text) => merge_of(text),
            Value::Array(items) => match items.as_slice() {
                [Value::String(left), Value::String(right)] => Some((left.clone(), right.clone())),
                _ => None,
            },
            _ => None,
        };
        pair.ok_or_else(|| format!("Merge {rank} is {merge}, expected a pair of tokens"))
    });
    Ok((vocab, merges.collect::<std::result::Result<_, _>>()?))
}

/// The two tokens of a merge that is written with a space between them.
pub(crate) fn merge_of(text: &str) -> Option<(String, String)> {
    let (left, right) = text.split_once(' ').filter(|(_, right)| !right.contains(' '))?;
    Some((left.to_owned(), right.to_owned()))
}

/// The largest id plus one, where every token has an id of its own.
pub(super) fn size(vocab: &Vocab, added: &[(String, u32)]) -> std::result::Result<usize, String> {
    let largest = vocab.values().copied().chain(added.iter().map(|(_, id)| *id)).max();
    let size = largest.map_or(0, |id| id as usize + 1);
    let mut taken = vec![false; size];
    for (token, &id) in vocab {
        if std::mem::replace(&mut taken[id as usize], true) {
            return Err(format!("Token \"{token}\" has id {id}, which another token has too"));
        }
    }
    Ok(size)
}

/// Bytes that no token of a byte-level vocabulary stands for.
pub(super) fn absent_bytes(settings: &Value, vocab: &Vocab) -> Vec<u8> {
    let has_unknown = settings["model"].get("unk_token").is_some_and(|token| !token.is_null());
    let byte_level = settings.get("pre_tokenizer").is_some_and(is_byte_level);
    if !byte_level || has_unknown {
        return Vec::new();
    }
    byte_letters()
        .filter(|(_, letter)| !vocab.contains_key(letter.encode_utf8(&mut [0; 4]) as &str))
        .map(|(byte, _)| byte)
        .collect()
}

/// How many times longer a normalizer or decoder can make a text by replacing parts of it.
fn growth(part: &Value) -> usize {
    let letters = |text: Option<&Value>| text.and_then(Value::as_str).map_or(0, |text| text.chars().count());
    match part {
        Value::Object(fields) if fields.get("type").and_then(Value::as_str) == Some("Replace") => {
            let content = letters(fields.get("content"));
            match letters(fields.get("pattern").and_then(|pattern| pattern.get("String"))) {
                // A regular expression, and an empty text, can match between letters.
                0 => content + 1,
                pattern => content.div_ceil(pattern).max(1),
            }
        }
        Value::Object(fields) => fields.values().map(growth).fold(1, usize::saturating_mul),
        Value::Array(items) => items.iter().map(growth).fold(1, usize::saturating_mul),
        _ => 1,
    }
}

fn token_id(id: &Value) -> std::result::Result<u32, String> {
    match id.as_u64() {
        Some(id) if id < MAX_TOKEN_ID => Ok(id as u32),
        _ => Err(format!("{id}, expected a whole number below {MAX_TOKEN_ID}")),
    }
}

/// The `tokenizers` crate trusts merges to fit the vocabulary, or panics.
pub(super) fn check_merges(vocab: &Vocab, merges: &Merges) -> std::result::Result<(), String> {
    let mut merged = String::new();
    for (rank, (left, right)) in merges.iter().enumerate() {
        merged.clear();
        merged.push_str(left);
        merged.push_str(right);
        for token in [left, right, &merged] {
            if !vocab.contains_key(token) {
                return Err(format!(
                    "Merge {rank} is \"{left}\" and \"{right}\", but \"{token}\" is not in the vocabulary"
                ));
            }
        }
    }
    Ok(())
}

pub(super) fn added_tokens(added: Option<&Value>) -> std::result::Result<Vec<(String, u32)>, String> {
    let Some(added) = added.filter(|added| !added.is_null()) else { return Ok(Vec::new()) };
    let added = added.as_array().ok_or("The tokenizer's \"added_tokens\" is not a list")?;
    added
        .iter()
        .map(|token| {
            let content = token.get("content").and_then(Value::as_str).filter(|content| !content.is_empty());
            let content = content.ok_or_else(|| format!("Added token {token} has no \"content\""))?;
            let id = token_id(token.get("id").unwrap_or(&Value::Null))
                .map_err(|found| format!("Added token \"{content}\" has id \"{found}\""))?;
            Ok((content.to_owned(), id))
        })
        .collect()
}

fn is_byte_level(pre_tokenizer: &Value) -> bool {
    match pre_tokenizer.get("type").and_then(Value::as_str) {
        Some("ByteLevel") => true,
        Some("Sequence") => pre_tokenizer
            .get("pretokenizers")
            .and_then(Value::as_array)
            .is_some_and(|parts| parts.iter().any(is_byte_level)),
        _ => false,
    }
}

/// Each byte with the letter that byte-level BPE writes for it: printable Latin-1 stands for itself, the rest are
/// numbered upwards from U+0100 (Radford et al. 2019, "Language Models are Unsupervised Multitask Learners").
pub(crate) fn byte_letters() -> impl Iterator<Item = (u8, char)> {
    let mut unprintable = 0x100;
    (0..=u8::MAX).map(move |byte| match byte {
        b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => (byte, char::from(byte)),
        _ => {
            let letter = char::from_u32(unprintable).expect("U+0100 to U+0143 are letters");
            unprintable += 1;
            (byte, letter)
        }
    })
}
