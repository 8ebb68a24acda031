//! Rotary embeddings and the ways in which they are stretched beyond the context of pre-training.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::fields::{Fields, Reading};

/// How the rotary frequencies are stretched; transformers' `rope_parameters`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum RopeScaling {
    /// Not at all.
    Default,
    /// Every frequency is divided by `factor` (Chen et al. 2023).
    Linear {
        /// Divides the frequencies.
        factor: f64,
    },
    /// Low frequencies are divided by `factor`, high ones kept, those between blended (Llama 3.1).
    Llama3 {
        /// Divides the low frequencies.
        factor: f64,
        /// Frequencies of fewer turns in the original context are low.
        low_freq_factor: f64,
        /// Frequencies of more turns in the original context are high.
        high_freq_factor: f64,
        /// Context of pre-training, in tokens.
        original_max_position: usize,
    },
    /// NTK by parts, with a temperature on the attention (Peng et al. 2023, section 3).
    Yarn(Yarn),
    /// Frequency i is divided by `divisors[i]`: what GGUF files carry. As Hugging Face configuration it is a
    /// "longrope" (Ding et al. 2024) whose short and long factors are the same.
    Divisors(Vec<f64>),
}

/// Parameters of [`RopeScaling::Yarn`], by transformers' names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Yarn {
    /// Divides the low frequencies.
    pub factor: f64,
    /// Context of pre-training, in tokens.
    pub original_max_position: usize,
    /// Frequencies of more turns in the original context are kept.
    pub beta_fast: f64,
    /// Frequencies of fewer turns in the original context are divided.
    pub beta_slow: f64,
    /// Multiplies the rotated queries and keys; by default 0.1 · ln(factor) + 1.
    pub attention_factor: Option<f64>,
    /// With `mscale_all_dim`, replaces the 0.1 of the default attention factor: in the numerator.
    pub mscale: Option<f64>,
    /// As `mscale`, in the denominator.
    pub mscale_all_dim: Option<f64>,
    /// Whether the bounds of the blend are rounded to whole frequencies.
    pub truncate: bool,
}

/// A rotary embedding, ready to be applied.
#[derive(Debug, Clone, PartialEq)]
pub struct Rotary {
    /// Radians a position of each pair of elements, head_dim/2 of them.
    pub frequencies: Vec<f64>,
    /// Multiplies sines and cosines.
    pub scale: f64,
}

impl RopeScaling {
    /// The scaling of a GGUF file's divisors. llama.cpp's converter makes them of Llama 3's parameters, which are
    /// found again where they are those of Llama 3.1 to 3.3; other divisors stay what they are.
    pub(crate) fn from_divisors(divisors: Vec<f64>, theta: f64, head_dim: usize) -> Self {
        if divisors.len() != head_dim / 2 {
            return Self::Divisors(divisors);
        }
        let llama3 = Self::Llama3 {
            factor: divisors.iter().copied().fold(1.0, f64::max),
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position: 8192,
        };
        let (plain, scaled) = (Self::Default.rotary(theta, head_dim), llama3.rotary(theta, head_dim));
        // The converter computes in f32.
        let near = |((f, g), divisor): ((&f64, &f64), &f64)| (f / g / divisor - 1.0).abs() < 1e-5;
        let pairs = plain.frequencies.iter().zip(&scaled.frequencies);
        if pairs.zip(&divisors).all(near) { llama3 } else { Self::Divisors(divisors) }
    }

    /// The embedding of base `theta` for heads of width `head_dim`, by the formulas of transformers'
    /// `modeling_rope_utils` in f64.
    pub(super) fn rotary(&self, theta: f64, head_dim: usize) -> Rotary {
        let plain = (0..head_dim / 2).map(|i| theta.powf(-2.0 * i as f64 / head_dim as f64));
        let frequencies = match self {
            Self::Default => plain.collect(),
            Self::Linear { factor } => plain.map(|f| f / factor).collect(),
            Self::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_position } => plain
                .map(|f| {
                    let turns = *original_max_position as f64 * f / std::f64::consts::TAU;
                    let kept = (turns - low_freq_factor) / (high_freq_factor - low_freq_factor);
                    let kept = kept.clamp(0.0, 1.0);
                    (1.0 - kept) * f / factor + kept * f
                })
                .collect(),
            Self::Yarn(yarn) => {
                let (low, high) = yarn.blend(theta, head_dim);
                let divided = |i: usize| ((i as f64 - low) / (high - low)).clamp(0.0, 1.0);
                plain
                    .enumerate()
                    .map(|(i, f)| f / yarn.factor * divided(i) + f * (1.0 - divided(i)))
                    .collect()
            }
            Self::Divisors(divisors) => plain.zip(divisors).map(|(f, divisor)| f / divisor).collect(),
        };
        let scale = if let Self::Yarn(yarn) = self { yarn.attention_scale() } else { 1.0 };
        Rotary { frequencies, scale }
    }

    /// What makes no sense: name, value, and what was expected.
    pub(super) fn validate(&self, head_dim: usize) -> Reading<()> {
        let mut numbers: Vec<(&str, f64)> = Vec::new();
        let mut original = None;
        match self {
            Self::Default => {}
            Self::Linear { factor } => numbers.push(("factor", *factor)),
            Self::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_position } => {
                let (low, high) = (*low_freq_factor, *high_freq_factor);
                numbers.extend([("factor", *factor), ("low_freq_factor", low), ("high_freq_factor", high)]);
                original = Some(*original_max_position);
                if high <= low {
                    return Err(format!("high_freq_factor is \"{high}\", expected more than {low}"));
                }
            }
            Self::Yarn(yarn) => {
                numbers.extend([
                    ("factor", yarn.factor),
                    ("beta_fast", yarn.beta_fast),
                    ("beta_slow", yarn.beta_slow),
                ]);
                numbers.extend(yarn.attention_factor.map(|factor| ("attention_factor", factor)));
                original = Some(yarn.original_max_position);
            }
            Self::Divisors(divisors) => {
                if divisors.len() != head_dim / 2 {
                    let found = divisors.len();
                    return Err(format!("long_factor has \"{found}\" entries, expected {}", head_dim / 2));
                }
                numbers.extend(divisors.iter().map(|divisor| ("long_factor", *divisor)));
            }
        }
        if let Some((name, value)) = numbers.iter().find(|(_, value)| !(value.is_finite() && *value > 0.0)) {
            return Err(format!("{name} is \"{value}\", expected a positive number"));
        }
        match original {
            Some(tokens) if tokens == 0 || tokens > 1 << 24 => {
                Err(format!("original_max_position_embeddings is \"{tokens}\", expected 1 to {}", 1 << 24))
            }
            _ => Ok(()),
        }
    }

    /// `rope_parameters` without the base. `max_position` is the model's context.
    pub(super) fn to_hf_json(&self, max_position: usize) -> Map<String, Value> {
        let json = match self {
            Self::Default => json!({ "rope_type": "default" }),
            Self::Linear { factor } => json!({ "rope_type": "linear", "factor": factor }),
            Self::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_position } => json!({
                "rope_type": "llama3",
                "factor": factor,
                "low_freq_factor": low_freq_factor,
                "high_freq_factor": high_freq_factor,
                "original_max_position_embeddings": original_max_position,
            }),
            Self::Yarn(yarn) => json!({
                "rope_type": "yarn",
                "factor": yarn.factor,
                "original_max_position_embeddings": yarn.original_max_position,
                "beta_fast": yarn.beta_fast,
                "beta_slow": yarn.beta_slow,
                "attention_factor": yarn.attention_factor,
                "mscale": yarn.mscale,
                "mscale_all_dim": yarn.mscale_all_dim,
                "truncate": yarn.truncate,
            }),
            Self::Divisors(divisors) => json!({
                "rope_type": "longrope",
                "short_factor": divisors,
                "long_factor": divisors,
                "original_max_position_embeddings": max_position,
                "attention_factor": 1.0,
            }),
        };
        let Value::Object(map) = json else { return Map::new() };
        map.into_iter().filter(|(_, value)| !value.is_null()).collect()
    }
}

impl Yarn {
    /// The defaults of the paper and of transformers.
    pub(crate) fn new(factor: f64, original_max_position: usize) -> Self {
        Self {
            factor,
            original_max_position,
            beta_fast: 32.0,
            beta_slow: 1.0,
            attention_factor: None,
            mscale: None,
            mscale_all_dim: None,
            truncate: true,
        }
    }

    /// The frequencies between which the division sets in (Peng et al. 2023, equation 17 solved for the index).
    fn blend(&self, theta: f64, head_dim: usize) -> (f64, f64) {
        let width = head_dim as f64;
        let index = |turns: f64| {
            let wavelength = self.original_max_position as f64 / (turns * std::f64::consts::TAU);
            width * wavelength.ln() / (2.0 * theta.ln())
        };
        let (low, high) = (index(self.beta_fast), index(self.beta_slow));
        let (low, high) = if self.truncate { (low.floor(), high.ceil()) } else { (low, high) };
        let (low, high) = (low.max(0.0), high.min(width - 1.0));
        // transformers avoids the division by zero in the same way.
        (low, if low == high { high + 0.001 } else { high })
    }

    fn attention_scale(&self) -> f64 {
        let scale = |by: f64| if self.factor <= 1.0 { 1.0 } else { 0.1 * by * self.factor.ln() + 1.0 };
        match (self.attention_factor, self.mscale, self.mscale_all_dim) {
            (Some(factor), ..) => factor,
            (_, Some(numerator), Some(denominator)) if numerator != 0.0 && denominator != 0.0 => {
                scale(numerator) / scale(denominator)
            }
            _ => scale(1.0),
        }
    }
}

/// The scaling and the rotary base of a `config.json`, in any of the places where transformers 4 and 5 put them.
/// `max_position` is the model's context.
pub(super) fn read(fields: &Fields, max_position: usize) -> Reading<(RopeScaling, f64)> {
    let top = fields.number("rope_theta")?;
    let original = fields.size_or("original_max_position_embeddings", 0)?;
    let original = Some(original).filter(|tokens| *tokens > 0);
    let mut found: Option<(&str, RopeScaling)> = None;
    let mut theta = top.map(|theta| ("rope_theta", theta));
    for key in ["rope_scaling", "rope_parameters"] {
        let Some(value) = fields.get(key) else { continue };
        let Some(object) = value.as_object() else {
            return Err(fields.refusal(key, "an object or null"));
        };
        let inner = Fields::new(object.clone());
        let scaling = scaling(&inner, original, max_position)
            .map_err(|reason| format!("{key} is \"{value}\": {reason}"))?;
        if let Some(nested) = inner.number("rope_theta").map_err(|reason| format!("{key}: {reason}"))? {
            match theta {
                Some((place, theta)) if theta != nested => {
                    return Err(format!("rope_theta is \"{theta}\" in {place}, but \"{nested}\" in {key}"));
                }
                _ => theta = Some((key, nested)),
            }
        }
        match &found {
            Some((place, other)) if *other != scaling => {
                return Err(format!("{place} is \"{other:?}\", but {key} is \"{scaling:?}\""));
            }
            _ => found = Some((key, scaling)),
        }
    }
    let scaling = found.map_or(RopeScaling::Default, |(_, scaling)| scaling);
    Ok((scaling, theta.map_or(10_000.0, |(_, theta)| theta)))
}

/// One object. A key that its type does not know is refused: it may mean something to its writer.
fn scaling(fields: &Fields, original: Option<usize>, max_position: usize) -> Reading<RopeScaling> {
    let (new, old) = (fields.text("rope_type")?, fields.text("type")?);
    if let (Some(new), Some(old)) = (new, old)
        && new != old
    {
        return Err(format!("rope_type is \"{new}\", but type is \"{old}\""));
    }
    let kind = new.or(old).unwrap_or("default");
    let known: &[&str] = match kind {
        "default" => &[],
        "linear" => &["factor"],
        "llama3" => &["factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"],
        "yarn" => &[
            "factor",
            "original_max_position_embeddings",
            "beta_fast",
            "beta_slow",
            "attention_factor",
            "mscale",
            "mscale_all_dim",
            "truncate",
        ],
        "longrope" => {
            &["short_factor", "long_factor", "original_max_position_embeddings", "attention_factor", "factor"]
        }
        _ => {
            return Err(format!("rope_type is \"{kind}\", expected default, linear, llama3 or yarn"));
        }
    };
    let everywhere = ["rope_type", "type", "rope_theta", "partial_rotary_factor"];
    let surplus = |key: &&str| !known.contains(key) && !everywhere.contains(key);
    if let Some(key) = fields.keys().find(surplus) {
        return Err(format!("{key} is not known for rope_type \"{kind}\", expected {known:?}"));
    }
    if fields.number("partial_rotary_factor")?.is_some_and(|part| part != 1.0) {
        return Err(fields.refusal("partial_rotary_factor", "1"));
    }
    let need = |key: &str| fields.number(key)?.ok_or_else(|| format!("{key} is missing, expected a number"));
    let original = || match original {
        Some(tokens) => Ok(tokens),
        None => fields.size_or("original_max_position_embeddings", max_position),
    };
    Ok(match kind {
        "linear" => RopeScaling::Linear { factor: need("factor")? },
        "llama3" => RopeScaling::Llama3 {
            factor: need("factor")?,
            low_freq_factor: need("low_freq_factor")?,
            high_freq_factor: need("high_freq_factor")?,
            original_max_position: original()?,
        },
        "yarn" => {
            let original = original()?;
            let ratio = max_position as f64 / original as f64;
            let defaults = Yarn::new(fields.number("factor")?.unwrap_or(ratio), original);
            let beta = |key: &str, default: f64| {
                Ok::<f64, String>(fields.number(key)?.filter(|turns| *turns != 0.0).unwrap_or(default))
            };
            RopeScaling::Yarn(Yarn {
                beta_fast: beta("beta_fast", defaults.beta_fast)?,
                beta_slow: beta("beta_slow", defaults.beta_slow)?,
                attention_factor: fields.number("attention_factor")?,
                mscale: fields.number("mscale")?,
                mscale_all_dim: fields.number("mscale_all_dim")?,
                truncate: fields.flag("truncate")?.unwrap_or(defaults.truncate),
                ..defaults
            })
        }
        "longrope" => {
            let (short, long) = (fields.numbers("short_factor")?, fields.numbers("long_factor")?);
            if short != long || need("attention_factor")? != 1.0 {
                return Err("a longrope's frequencies depend on the length of the sequence, expected \
                            short_factor and long_factor to be the same and attention_factor 1"
                    .into());
            }
            RopeScaling::Divisors(long)
        }
        _ => RopeScaling::Default,
    })
}
