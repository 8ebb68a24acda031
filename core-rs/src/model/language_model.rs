//! What models that train and frozen ones have in common.

use super::decoder::Decoder;
use super::lora::LoraShape;
use super::reader::{ForwardOptions, Keep, Reader};
use crate::Result;
use crate::backend::{Backend, InferencePrecision};
use crate::cancel::Cancel;
use crate::config::ModelConfig;
use crate::forest::Forest;
use crate::generate::{self, Event, Generation, Request};
use crate::turns::{Turns, complete, give_way};
use crate::weights::TextAssets;
use std::ops::Deref;

/// A model that writes and scores text.
pub trait LanguageModel: Send + Sync {
    /// Its shape.
    fn config(&self) -> &ModelConfig;
    /// The device that it computes on, in words, such as "cpu (2 threads, avx512)".
    fn device(&self) -> String;
    /// What its products read.
    fn precision(&self) -> InferencePrecision;
    /// Its tokenizer and template.
    fn text(&self) -> &TextAssets;
    /// Elements of all tensors.
    fn num_parameters(&self) -> usize;
    /// Whether it has a score head.
    fn has_score_head(&self) -> bool;
    /// The adapters that are on.
    fn lora(&self) -> Option<&LoraShape> {
        None
    }
    /// Whether it has forward passes alone.
    fn is_frozen(&self) -> bool;
    /// Whether what it generates has the log-probabilities of [`LanguageModel::logprobs`] bit for bit.
    fn is_exact(&self) -> bool;
    /// Log-probability of each token as [`super::Tape::logprobs`], keeping nothing else.
    fn logprobs(
        &self,
        forest: &Forest,
        temperature: f32,
        select: Option<&[u8]>,
        cancel: &Cancel,
    ) -> Result<Vec<f32>>;
    /// What the score head makes of the hidden state behind each of the given tokens.
    fn scores(&self, forest: &Forest, tokens: &[u32], cancel: &Cancel) -> Result<Vec<f32>>;
    /// Raw logits behind each of the given tokens, rows × vocab.
    fn logits(&self, forest: &Forest, rows: &[u32]) -> Result<Vec<f32>>;
    /// Generates all requests, as many at once as memory allows, telling `sink` of each token and each end. An error
    /// of the sink ends it. It gives way after each token, and once its prompts are a part further.
    fn generate_in_turns<'a>(
        &'a self,
        requests: &'a [Request],
        options: &'a generate::Options,
        cancel: &'a Cancel,
        sink: &'a mut dyn FnMut(Event) -> Result<()>,
    ) -> Turns<'a, Result<generate::Summary>>;
    /// All turns of [`LanguageModel::generate_in_turns`].
    fn generate(
        &self,
        requests: &[Request],
        options: &generate::Options,
        cancel: &Cancel,
        sink: &mut dyn FnMut(Event) -> Result<()>,
    ) -> Result<generate::Summary> {
        complete(self.generate_in_turns(requests, options, cancel, sink))
    }
}

/// What stands for a model is one.
impl<P> LanguageModel for P
where
    P: Deref<Target: LanguageModel> + Send + Sync,
{
    fn config(&self) -> &ModelConfig {
        (**self).config()
    }

    fn device(&self) -> String {
        (**self).device()
    }

    fn precision(&self) -> InferencePrecision {
        (**self).precision()
    }

    fn text(&self) -> &TextAssets {
        (**self).text()
    }

    fn num_parameters(&self) -> usize {
        (**self).num_parameters()
    }

    fn has_score_head(&self) -> bool {
        (**self).has_score_head()
    }

    fn lora(&self) -> Option<&LoraShape> {
        (**self).lora()
    }

    fn is_frozen(&self) -> bool {
        (**self).is_frozen()
    }

    fn is_exact(&self) -> bool {
        (**self).is_exact()
    }

    fn logprobs(
        &self,
        forest: &Forest,
        temperature: f32,
        select: Option<&[u8]>,
        cancel: &Cancel,
    ) -> Result<Vec<f32>> {
        (**self).logprobs(forest, temperature, select, cancel)
    }

    fn scores(&self, forest: &Forest, tokens: &[u32], cancel: &Cancel) -> Result<Vec<f32>> {
        (**self).scores(forest, tokens, cancel)
    }

    fn logits(&self, forest: &Forest, rows: &[u32]) -> Result<Vec<f32>> {
        (**self).logits(forest, rows)
    }

    fn generate_in_turns<'a>(
        &'a self,
        requests: &'a [Request],
        options: &'a generate::Options,
        cancel: &'a Cancel,
        sink: &'a mut dyn FnMut(Event) -> Result<()>,
    ) -> Turns<'a, Result<generate::Summary>> {
        (**self).generate_in_turns(requests, options, cancel, sink)
    }
}

/// See [`LanguageModel::logprobs`].
pub(super) fn logprobs<B: Backend>(
    reader: &Reader<B>,
    forest: &Forest,
    temperature: f32,
    select: Option<&[u8]>,
    cancel: &Cancel,
) -> Result<Vec<B::Scalar>> {
    let select = select.map(<[u8]>::to_vec);
    let options = ForwardOptions { temperature, select, ..ForwardOptions::default() };
    Ok(reader.run(forest, &options, Keep::Nothing, cancel)?.logprobs())
}

/// See [`LanguageModel::scores`].
pub(super) fn scores<B: Backend>(
    reader: &Reader<B>,
    forest: &Forest,
    tokens: &[u32],
    cancel: &Cancel,
) -> Result<Vec<B::Scalar>> {
    let select = Some(vec![0; forest.tokens.len()]);
    let options = ForwardOptions { select, scores: tokens.to_vec(), ..ForwardOptions::default() };
    Ok(reader.run(forest, &options, Keep::Nothing, cancel)?.scores)
}

/// See [`LanguageModel::generate_in_turns`].
pub(super) async fn generate_all<B: Backend>(
    reader: Reader<'_, B>,
    text: &TextAssets,
    (requests, options): (&[Request], &generate::Options),
    cancel: &Cancel,
    sink: &mut dyn FnMut(Event) -> Result<()>,
) -> Result<generate::Summary> {
    if requests.is_empty() {
        return Ok(generate::Summary::default());
    }
    let backend = reader.backend;
    let start = || Generation::start(reader, text.tokenizer.as_ref(), requests, options);
    let mut generation = backend.install(start)?;
    // A sink that waits for a slow reader must not hold a thread of the pool meanwhile.
    while let Some(events) = backend.install(|| generation.advance(cancel))? {
        events.into_iter().try_for_each(&mut *sink)?;
        give_way().await;
    }
    Ok(generation.summary())
}

/// As [`generate_all`] by a decoder, whose matrices are packed meanwhile where the device gains from it.
pub(super) async fn generate_by<B: Backend>(
    decoder: Decoder<'_, B>,
    text: &TextAssets,
    work: (&[Request], &generate::Options),
    cancel: &Cancel,
    sink: &mut dyn FnMut(Event) -> Result<()>,
) -> Result<generate::Summary> {
    let packed = B::PACKS.then(|| decoder.backend.install(|| decoder.pack())).transpose()?;
    let reader = match &packed {
        Some(packed) => decoder.packed_reader(packed),
        None => decoder.reader(),
    };
    generate_all(reader, text, work, cancel, sink).await
}
