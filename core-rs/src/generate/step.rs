//! Passes over caches, and the decoding step, which a device may record.

use crate::Result;
use crate::backend::{Backend, Piece};
use crate::cancel::Cancel;
use crate::model::layer::{self, Projected};
use crate::model::reader::Reader;

/// Takes rows through all layers, appending to the caches as planned. Gives the residual stream behind the last layer.
pub fn layers<B: Backend>(
    reader: &Reader<B>,
    rows: usize,
    (tokens, positions): (&B::Indices, &B::Indices),
    plan: &B::Plan,
    caches: &mut [&mut B::Cache],
    cancel: &Cancel,
) -> Result<B::Buffer> {
    let (b, heads) = (reader.backend, reader.heads());
    let rotations = reader.rotations(positions)?;
    let mut x = reader.embed(tokens, rows)?;
    for (l, w) in reader.layers.iter().enumerate() {
        cancel.check()?;
        let Projected { q, k, v, .. } = layer::project(reader, w, &x, rows, (&rotations, None))?;
        let mut attended = b.activation(rows * heads.heads * heads.head_dim)?;
        b.attention_extend([&q, &k, &v], plan, l, heads, caches, &mut attended)?;
        x = layer::finish(reader, w, x, &attended, (rows, None))?.output;
    }
    Ok(x)
}

/// One token of each sequence, for a number of rows that stays: what it reads and writes lies in the same places each
/// time, so that a device can record it.
pub struct Step<B: Backend> {
    tokens: B::Indices,
    positions: B::Indices,
    plan: B::Plan,
    /// The residual stream behind the last layer.
    x: B::Buffer,
    recording: Option<B::Recording>,
    rows: usize,
}

impl<B: Backend> Step<B> {
    /// A step of so many rows, which no device has recorded yet.
    pub fn new(reader: &Reader<B>, rows: usize) -> Result<Self> {
        let b = reader.backend;
        let nothing = vec![0; rows];
        Ok(Self {
            tokens: b.indices(&nothing)?,
            positions: b.indices(&nothing)?,
            plan: B::Plan::default(),
            x: b.zeros(rows * reader.config.hidden_size)?,
            recording: None,
            rows,
        })
    }

    /// Whether the device would do it again from a recording.
    pub fn is_recorded(&self) -> bool {
        self.recording.is_some()
    }

    /// The residual stream behind the last layer; rows beyond those of the last run mean nothing.
    pub fn output(&self) -> &B::Buffer {
        &self.x
    }

    /// Takes a token of each sequence through the model. Rows beyond them are token 0 at position 0 and belong to no
    /// piece.
    pub fn run(
        &mut self,
        reader: &Reader<B>,
        (mut tokens, mut positions): (Vec<u32>, Vec<u32>),
        pieces: &[Piece],
        caches: &mut [&mut B::Cache],
        cancel: &Cancel,
    ) -> Result<()> {
        let Self { plan, x, recording, rows, .. } = self;
        let b = reader.backend;
        tokens.resize(*rows, 0);
        positions.resize(*rows, 0);
        b.set_indices(&tokens, &mut self.tokens)?;
        b.set_indices(&positions, &mut self.positions)?;
        b.plan(pieces, caches, plan)?;
        let inputs = (&self.tokens, &self.positions);
        b.replay(recording, &mut || b.copy(&layers(reader, *rows, inputs, plan, caches, cancel)?, x))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cpu::Cpu;
    use crate::backend::cpu::pool::Buffer;
    use crate::config::ModelConfig;
    use crate::model::params::Params;
    use crate::model::trainables::Tensors;
    use serde_json::json;
    use std::path::Path;

    #[test]
    fn rows_beyond_the_sequences_change_no_bit() {
        let config = json!({
            "model_type": "llama", "vocab_size": 11, "hidden_size": 8, "intermediate_size": 12,
            "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
            "max_position_embeddings": 16, "tie_word_embeddings": true,
        });
        let config = ModelConfig::from_hf_json(Path::new("config"), config.to_string().as_bytes()).unwrap();
        let weights = Params::specs(&config, true).map(|spec| {
            Buffer::from((0..spec.len()).map(|i| (1.0 + i as f64 * 1.9).sin()).collect::<Vec<f64>>())
        });
        let b = Cpu::<f64>::new();
        let tensors = Tensors { weights: &weights, lora: None, score: None };
        let reader = Reader::plain(&b, &config, tensors);
        let sequences = 2;
        let outputs = |rows: usize| {
            let mut step = Step::new(&reader, rows).unwrap();
            let mut caches: Vec<_> =
                (0..sequences).map(|_| b.empty_cache(&(), 2, reader.heads(), 3).unwrap()).collect();
            let pieces: Vec<Piece> =
                (0..sequences).map(|i| Piece { rows: i..i + 1, ancestors: Vec::new(), own: i }).collect();
            let mut seen = Vec::new();
            for t in 0..3 {
                let mut caches: Vec<_> = caches.iter_mut().collect();
                let inputs = (vec![3 + t, 5 + t], vec![t, t]);
                step.run(&reader, inputs, &pieces, &mut caches, &Cancel::new()).unwrap();
                seen.push(step.output()[..sequences * config.hidden_size].to_vec());
            }
            seen
        };
        let exact = outputs(sequences);
        assert!(exact.iter().flatten().all(|x| x.is_finite()) && exact[0] != exact[1]);
        assert_eq!(outputs(5), exact);
    }
}
