//! The architectures: what each of them calls itself, leaves out and takes for granted.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fields::{Fields, Reading};

/// An architecture of transformers. All are decoders of pre-normed attention with rotary positions and gated MLPs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Family {
    /// Llama 1 to 3, SmolLM2 and whatever else is a `LlamaForCausalLM`; biases are optional.
    Llama,
    /// Mistral without a sliding window: a Llama without biases.
    Mistral,
    /// Qwen2 and Qwen2.5: biases on queries, keys and values.
    Qwen2,
    /// Qwen3: an RMSNorm over each head of queries and keys.
    Qwen3,
}

/// What transformers takes where a `config.json` lacks a key.
pub(super) struct Defaults {
    /// As many as query heads where there is none.
    pub num_kv_heads: Option<usize>,
    /// The hidden size over the heads where there is none.
    pub head_dim: Option<usize>,
    pub max_position: usize,
    pub bos_token_id: Option<u32>,
    pub eos_token_id: Option<u32>,
}

impl Family {
    /// Every family.
    pub const ALL: [Self; 4] = [Self::Llama, Self::Mistral, Self::Qwen2, Self::Qwen3];

    /// Its name in a `config.json`.
    pub fn model_type(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Mistral => "mistral",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
        }
    }

    /// The name of its class of a kind, such as "ForCausalLM".
    pub fn class(self, kind: &str) -> String {
        let name = match self {
            Self::Llama => "Llama",
            Self::Mistral => "Mistral",
            Self::Qwen2 => "Qwen2",
            Self::Qwen3 => "Qwen3",
        };
        format!("{name}{kind}")
    }

    pub(super) fn read(fields: &Fields) -> Reading<Self> {
        let found = fields.text("model_type")?;
        let family = Self::ALL.into_iter().find(|family| Some(family.model_type()) == found);
        family.ok_or_else(|| fields.refusal("model_type", "\"llama\", \"mistral\", \"qwen2\" or \"qwen3\""))
    }

    pub(super) fn defaults(self) -> Defaults {
        let (num_kv_heads, head_dim, max_position) = match self {
            Self::Llama => (None, None, 2048),
            Self::Mistral => (Some(8), None, 131_072),
            Self::Qwen2 => (Some(32), None, 32_768),
            Self::Qwen3 => (Some(32), Some(128), 32_768),
        };
        let (bos_token_id, eos_token_id) = match self {
            Self::Llama | Self::Mistral => (Some(1), Some(2)),
            Self::Qwen2 | Self::Qwen3 => (None, None),
        };
        Defaults { num_kv_heads, head_dim, max_position, bos_token_id, eos_token_id }
    }

    /// transformers ignores a wish for biases that a family does not know, and so loses those of the weights.
    pub(super) fn check_biases(self, attention: bool, mlp: bool) -> Reading<()> {
        let needed = match self {
            Self::Llama => return Ok(()),
            Self::Mistral => Some(false),
            Self::Qwen2 => Some(true),
            Self::Qwen3 => None,
        };
        if let Some(needed) = needed.filter(|needed| *needed != attention) {
            let name = self.model_type();
            return Err(format!("attention_bias is \"{attention}\", expected \"{needed}\" for {name}"));
        }
        if mlp {
            return Err(format!("mlp_bias is \"{mlp}\", expected \"false\" for {}", self.model_type()));
        }
        Ok(())
    }

    /// Refuses a window that is narrower than the context; any other setting of windows says nothing.
    pub(super) fn refuse_windows(
        self,
        fields: &Fields,
        num_layers: usize,
        max_position: usize,
    ) -> Reading<()> {
        if let Some(layers) = fields.get("layer_types") {
            let full = |layers: &Vec<Value>| layers.iter().all(|layer| layer == "full_attention");
            if !layers.as_array().is_some_and(full) {
                return Err(fields.refusal("layer_types", "\"full_attention\" for each layer"));
            }
        }
        let slides = match self {
            Self::Llama => false,
            Self::Mistral => true,
            Self::Qwen2 | Self::Qwen3 => {
                fields.flag("use_sliding_window")?.unwrap_or(false)
                    && fields.get("layer_types").is_none()
                    && fields.size_or("max_window_layers", 28)? < num_layers
            }
        };
        // Where the key is missing, transformers takes 4,096.
        let window = fields.size_unless("sliding_window", max_position, Some(4096))?;
        if slides && window < max_position {
            return Err(format!(
                "sliding_window is \"{window}\", expected none, or at least the context of {max_position} tokens"
            ));
        }
        Ok(())
    }
}
