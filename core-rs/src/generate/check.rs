//! What a request may be.

use super::Request;
use crate::config::ModelConfig;
use crate::tokenizer::Tokenizer;
use crate::{Error, Result};

/// Refuses what cannot be generated, naming the request, the value and what was expected.
pub fn check(config: &ModelConfig, tokenizer: Option<&Tokenizer>, index: usize, r: &Request) -> Result<()> {
    let refuse = |what: String| Err(Error::Input(format!("Request {index}: {what}")));
    let (context, vocab) = (config.max_position, config.vocab_size);
    if r.prompt.is_empty() {
        return refuse("the prompt is empty, expected at least 1 token".into());
    }
    if let Some((at, token)) = r.prompt.iter().enumerate().find(|(_, t)| **t as usize >= vocab) {
        return refuse(format!(
            "token \"{token}\" at index {at} of the prompt is outside the vocabulary of {vocab}"
        ));
    }
    if r.prompt.len() >= context {
        let found = r.prompt.len();
        return refuse(format!(
            "a prompt of \"{found}\" tokens leaves no room in the model's context of {context}"
        ));
    }
    if r.max_tokens == 0 {
        return refuse("max_tokens is \"0\", expected at least 1".into());
    }
    if !(r.temperature >= 0.0 && r.temperature.is_finite()) {
        return refuse(format!("temperature is \"{}\", expected 0 or a positive number", r.temperature));
    }
    if !(r.top_p > 0.0 && r.top_p <= 1.0) {
        return refuse(format!("top_p is \"{}\", expected a number above 0 and at most 1", r.top_p));
    }
    if !(0.0..=1.0).contains(&r.min_p) {
        return refuse(format!("min_p is \"{}\", expected a number from 0 to 1", r.min_p));
    }
    for &(token, bias) in &r.logit_bias {
        if token as usize >= vocab {
            return refuse(format!("logit_bias names token \"{token}\", expected an id below {vocab}"));
        }
        if bias.is_nan() || bias == f32::INFINITY {
            return refuse(format!(
                "logit_bias of token {token} is \"{bias}\", expected a finite number, or -inf for a ban"
            ));
        }
    }
    let end = if r.ignore_eos { config.eos_token_ids.as_slice() } else { &[] };
    let banned = r.logit_bias.iter().filter(|(_, b)| *b == f32::NEG_INFINITY).map(|(t, _)| t).chain(end);
    let banned: std::collections::BTreeSet<&u32> = banned.filter(|t| (**t as usize) < vocab).collect();
    if banned.len() == vocab {
        return refuse(format!("all \"{vocab}\" tokens are banned, expected at least 1 that is not"));
    }
    if !r.stop.is_empty() && tokenizer.is_none() {
        return refuse("stop strings need a tokenizer, and the model has none".into());
    }
    if r.stop.iter().any(String::is_empty) {
        return refuse("a stop string is \"\", expected at least 1 character".into());
    }
    Ok(())
}
