//! The named operations: a request frame in, events and an answer out. It knows neither threads nor doors.

use super::event::Reply;
use super::frame::Frame;
use super::objects::{AnyModel, Objects};
use super::operation::{Operation, place, sampling, trained};
use crate::backend::threads;
use crate::cancel::Cancel;
use crate::config::ModelConfig;
use crate::forest::Forest;
use crate::generate::{self, Event, Request};
use crate::model::{
    AdamW, Coefficients, ForwardOptions, FrozenModel, LanguageModel, LoraShape, Model, SaveOptions,
};
use crate::tokenizer::Tokenizer;
use crate::turns::give_way;
use crate::weights::TextAssets;
use crate::{Error, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::{Arc, TryLockError};

/// Where events on the way go; its error ends the work.
pub type Emit<'a> = dyn FnMut(Frame) -> Result<()> + 'a;

/// Carries out one request. Generation gives way as it goes; everything else is one turn, but for what changes a model,
/// which on a single thread gives way until nobody else uses it.
pub async fn dispatch(
    objects: &Arc<Objects>,
    mut request: Frame,
    cancel: &Cancel,
    emit: &mut Emit<'_>,
) -> Result<Reply> {
    let operation = Operation::deserialize(std::mem::take(&mut request.body))
        .map_err(|error| Error::Input(format!("Malformed request: {error}")))?;
    let job = Running { objects, cancel };
    let mut arrays = request;
    match operation {
        Operation::Decode { model, keep_special } => job.decode(model, keep_special, arrays),
        Operation::Generate { model, requests, stream, kv_bytes } => {
            let options = generate::Options { kv_bytes, ..generate::Options::default() };
            let mut sink = |event| match event_frame(event, stream) {
                Some(frame) => emit(frame),
                None => Ok(()),
            };
            job.generate(model, requests, arrays, &options, &mut sink).await
        }
        Operation::Logprobs { model, temperature } => {
            let forest = forest(&mut arrays)?;
            let select: Option<Vec<u8>> = arrays.take_optional("select")?;
            arrays.finish()?;
            let logprobs =
                job.read(model, |m| m.logprobs(&forest, temperature, select.as_deref(), cancel))?;
            Ok(Reply::new(Frame::new(json!({})).with("logprobs", logprobs)))
        }
        Operation::Scores { model } => {
            let forest = forest(&mut arrays)?;
            let tokens: Vec<u32> = arrays.take("scores")?;
            arrays.finish()?;
            let scores = job.read(model, |m| m.scores(&forest, &tokens, cancel))?;
            Ok(Reply::new(Frame::new(json!({})).with("scores", scores)))
        }
        Operation::Forward { model, temperature, entropy, recompute, dropout } => {
            let forest = forest(&mut arrays)?;
            let select = arrays.take_optional("select")?;
            let scores = arrays.take_optional("scores")?.unwrap_or_default();
            arrays.finish()?;
            let dropout = dropout.map(Into::into);
            let options = ForwardOptions { temperature, select, entropy, scores, recompute, dropout };
            job.forward(model, &forest, &options)
        }
        Operation::Backward { model, tape } => job.backward(model, tape, arrays).await,
        other => {
            arrays.finish()?;
            job.plain(other).await
        }
    }
}

/// What every operation is given.
struct Running<'a> {
    objects: &'a Arc<Objects>,
    cancel: &'a Cancel,
}

impl Running<'_> {
    fn read<R>(&self, model: usize, work: impl FnOnce(&dyn LanguageModel) -> Result<R>) -> Result<R> {
        let shared = self.objects.model(model)?;
        let model = shared.read().map_err(|_| broken())?;
        self.cancel.check()?;
        work(model.language_model())
    }

    fn read_trainable<R>(&self, model: usize, work: impl FnOnce(&Model) -> Result<R>) -> Result<R> {
        let shared = self.objects.model(model)?;
        let model = shared.read().map_err(|_| broken())?;
        self.cancel.check()?;
        match &*model {
            AnyModel::Trainable(model) => work(model),
            AnyModel::Frozen(_) => Err(frozen()),
        }
    }

    /// Waits until nobody else uses the model. Nothing that writes gives way, so that readers never wait in turns.
    async fn write<R>(&self, model: usize, work: impl FnOnce(&mut Model) -> Result<R>) -> Result<R> {
        let shared = self.objects.model(model)?;
        let mut model = loop {
            if !self.objects.take_turns() {
                break shared.write().map_err(|_| broken())?;
            }
            // The one thread must not wait here for what it does itself in other turns.
            match shared.try_write() {
                Ok(model) => break model,
                Err(TryLockError::WouldBlock) => give_way().await,
                Err(TryLockError::Poisoned(_)) => return Err(broken()),
            }
        };
        self.cancel.check()?;
        match &mut *model {
            AnyModel::Trainable(model) => work(model),
            AnyModel::Frozen(_) => Err(frozen()),
        }
    }

    fn open(&self, model: AnyModel) -> Result<Reply> {
        let info = info(model.language_model());
        let grant = self.objects.insert_model(model)?;
        let frame = Frame::new(json!({ "model": grant.handle(), "info": info }));
        Ok(Reply { frame, grant: Some(grant) })
    }

    /// The operations that take no arrays.
    async fn plain(&self, operation: Operation) -> Result<Reply> {
        let body = match operation {
            Operation::Load { path, device, arithmetic, precision, frozen: true } => {
                let model = FrozenModel::load(&path, place(&device, arithmetic)?, precision)?;
                return self.open(AnyModel::Frozen(model));
            }
            Operation::Load { path, device, arithmetic, precision, frozen: false } => {
                let model = Model::load(&path, place(&device, arithmetic)?, trained(precision)?)?;
                return self.open(AnyModel::Trainable(model));
            }
            Operation::Init { config, tokenizer, chat_template, seed, device, arithmetic, precision } => {
                let (config, text) = described(&config, tokenizer, chat_template)?;
                let model =
                    Model::init(config, text, seed, place(&device, arithmetic)?, trained(precision)?)?;
                return self.open(AnyModel::Trainable(model));
            }
            Operation::Snapshot { model, precision } => {
                let model = self.read_trainable(model, |m| m.snapshot(precision.map(Into::into)))?;
                return self.open(AnyModel::Frozen(model));
            }
            Operation::Encode { model, texts } => return self.encode(model, &texts),
            Operation::Step { model, learning_rate, beta1, beta2, epsilon, weight_decay, max_grad_norm } => {
                let options = AdamW { learning_rate, beta1, beta2, epsilon, weight_decay, max_grad_norm };
                let norm = self.write(model, |m| m.step(&options)).await?;
                return Ok(Reply::new(Frame::new(json!({})).with("gradNorm", vec![norm])));
            }
            Operation::SetThreads { threads } => {
                threads::set_threads(threads);
                json!({ "threads": threads::count() })
            }
            Operation::Info { model } => self.read(model, |m| Ok(info(m)))?,
            Operation::AddScoreHead { model } => {
                self.write(model, |m| {
                    m.add_score_head()?;
                    Ok(info(m))
                })
                .await?
            }
            Operation::AddLora { model, rank, alpha, dropout, targets, seed } => {
                let targets = targets.iter().map(|name| name.parse()).collect::<Result<_>>()?;
                let shape = LoraShape::new(rank, alpha, dropout, targets)?;
                self.write(model, |m| {
                    m.add_lora(shape, seed)?;
                    Ok(info(m))
                })
                .await?
            }
            Operation::TrainingMemory { model } => {
                let memory = self.read_trainable(model, |m| m.training_memory())?;
                serde_json::to_value(memory).map_err(|error| Error::Internal(error.to_string()))?
            }
            Operation::DiscardGradients { model } => {
                self.write(model, |m| {
                    m.discard_gradients();
                    Ok(json!({}))
                })
                .await?
            }
            Operation::SaveGradients { model, path } => {
                self.read_trainable(model, |m| m.save_gradients(&path))?;
                json!({})
            }
            Operation::Save { model, path, dtype, optimizer, adapters } => {
                let (dtype, adapters) = (dtype.into(), adapters.map(Into::into));
                let options = SaveOptions { dtype, optimizer, adapters };
                self.read_trainable(model, |m| m.save(&path, &options))?;
                json!({})
            }
            Operation::Restore { model, path } => {
                self.write(model, |m| {
                    m.restore(&path)?;
                    Ok(info(m))
                })
                .await?
            }
            Operation::Decode { .. }
            | Operation::Generate { .. }
            | Operation::Logprobs { .. }
            | Operation::Scores { .. }
            | Operation::Forward { .. }
            | Operation::Backward { .. } => unreachable!("operations with arrays have been carried out"),
        };
        Ok(Reply::new(Frame::new(body)))
    }

    fn encode(&self, model: usize, texts: &[String]) -> Result<Reply> {
        self.read(model, |model| {
            let tokenizer = tokenizer(model)?;
            let mut tokens = Vec::new();
            let mut lengths = Vec::with_capacity(texts.len());
            for text in texts {
                self.cancel.check()?;
                let ids = tokenizer.encode(text)?;
                lengths.push(ids.len() as u32);
                tokens.extend(ids);
            }
            Ok(Reply::new(Frame::new(json!({})).with("tokens", tokens).with("lengths", lengths)))
        })
    }

    fn decode(&self, model: usize, keep_special: bool, arrays: Frame) -> Result<Reply> {
        let lists = sequences(arrays)?;
        self.read(model, |model| {
            let tokenizer = tokenizer(model)?;
            let texts: Result<Vec<String>> =
                lists.iter().map(|l| tokenizer.decode(l, keep_special)).collect();
            Ok(Reply::new(Frame::new(json!({ "texts": texts? }))))
        })
    }

    // A job that would change the model waits until the generation has ended, whether or not it gives way.
    #[allow(clippy::await_holding_lock)]
    async fn generate(
        &self,
        model: usize,
        requests: Vec<Value>,
        arrays: Frame,
        options: &generate::Options,
        sink: &mut dyn FnMut(Event) -> Result<()>,
    ) -> Result<Reply> {
        let prompts = sequences(arrays)?;
        if prompts.len() != requests.len() {
            let (found, expected) = (prompts.len(), requests.len());
            return Err(Error::Input(format!("Found \"{found}\" prompts for {expected} requests")));
        }
        let requests: Result<Vec<Request>> = requests
            .into_iter()
            .zip(prompts)
            .enumerate()
            .map(|(i, (r, prompt))| sampling(i, r, prompt))
            .collect();
        let requests = requests?;
        let shared = self.objects.model(model)?;
        let model = shared.read().map_err(|_| broken())?;
        self.cancel.check()?;
        let summary = model.language_model().generate_in_turns(&requests, options, self.cancel, sink).await?;
        Ok(Reply::new(Frame::new(json!({
            "kvBudget": summary.kv_budget,
            "kvPeak": summary.kv_peak,
            "waited": summary.waited,
            "prefilled": summary.prefilled,
        }))))
    }

    fn forward(&self, model: usize, forest: &Forest, options: &ForwardOptions) -> Result<Reply> {
        let tape = self.read_trainable(model, |m| m.forward(forest, options, self.cancel))?;
        let results = [&tape.logprobs, &tape.entropies, &tape.scores].map(Clone::clone);
        let grant = self.objects.insert_tape(model, tape)?;
        let [logprobs, entropies, scores] = results;
        let frame = Frame::new(json!({ "tape": grant.handle() }))
            .with("logprobs", logprobs)
            .with("entropies", entropies)
            .with("scores", scores);
        Ok(Reply { frame, grant: Some(grant) })
    }

    async fn backward(&self, model: usize, tape: usize, mut arrays: Frame) -> Result<Reply> {
        let mut take = |name| arrays.take_optional(name).map(Option::unwrap_or_default);
        let coefficients = Coefficients {
            d_logprobs: take("dLogprobs")?,
            d_entropies: take("dEntropies")?,
            d_scores: take("dScores")?,
        };
        arrays.finish()?;
        let tape = self.objects.tape(tape, model)?;
        self.write(model, |m| m.backward(&tape, &coefficients, self.cancel)).await?;
        Ok(Reply::new(Frame::new(json!({}))))
    }
}

fn forest(arrays: &mut Frame) -> Result<Forest> {
    Forest::new(arrays.take("tokens")?, arrays.take("lengths")?, arrays.take("parents")?)
}

/// Token lists written behind each other, and nothing else.
fn sequences(mut arrays: Frame) -> Result<Vec<Vec<u32>>> {
    let tokens: Vec<u32> = arrays.take("tokens")?;
    let lengths: Vec<u32> = arrays.take("lengths")?;
    arrays.finish()?;
    let total: u64 = lengths.iter().map(|&n| u64::from(n)).sum();
    if total != tokens.len() as u64 {
        let found = tokens.len();
        return Err(Error::Input(format!("The lengths add up to \"{total}\", but there are {found} tokens")));
    }
    let mut rest = tokens.into_iter();
    Ok(lengths.iter().map(|&n| rest.by_ref().take(n as usize).collect()).collect())
}

fn frozen() -> Error {
    Error::Input(
        "The model is frozen, for inference alone: open it without \"frozen\" to train or save it".into(),
    )
}

/// A panic while a model was being changed leaves it half changed.
fn broken() -> Error {
    Error::Internal("an earlier fault left this model half changed; load it again".into())
}

fn info(model: &dyn LanguageModel) -> Value {
    let (config, text) = (model.config(), model.text());
    json!({
        "backend": model.device(),
        "exact": model.is_exact(),
        "precision": model.precision().name(),
        "frozen": model.is_frozen(),
        "parameters": model.num_parameters(),
        "vocabSize": config.vocab_size,
        "contextLength": config.max_position,
        "eosTokenIds": config.eos_token_ids,
        "bosToken": text.bos_token,
        "eosToken": text.eos_token,
        "chatTemplate": text.chat_template,
        "chatTemplates": text.named_templates,
        "hasTokenizer": text.tokenizer.is_some(),
        "hasScoreHead": model.has_score_head(),
        "lora": model.lora().map(|LoraShape { rank, alpha, dropout, targets }| json!({
            "rank": rank,
            "alpha": alpha,
            "dropout": dropout,
            "targets": targets.iter().map(|target| target.name()).collect::<Vec<_>>(),
        })),
    })
}

/// What `init` says of a model beside its weights.
fn described(
    config: &Value,
    tokenizer: Option<String>,
    chat_template: Option<String>,
) -> Result<(ModelConfig, TextAssets)> {
    let config = ModelConfig::from_hf_json(Path::new("config"), config.to_string().as_bytes())?;
    let tokenizer = match tokenizer {
        Some(json) => Some(Tokenizer::from_json(json.as_bytes())?),
        None => None,
    };
    if let Some(found) = tokenizer.as_ref().map(Tokenizer::vocab_size).filter(|&n| n > config.vocab_size) {
        return Err(Error::Input(format!(
            "The tokenizer has \"{found}\" ids, expected at most the vocab_size {}",
            config.vocab_size
        )));
    }
    let word = |id: Option<u32>| tokenizer.as_ref().zip(id).and_then(|(t, id)| t.id_to_token(id));
    let text = TextAssets {
        bos_token: word(config.bos_token_id),
        eos_token: word(config.eos_token_ids.first().copied()),
        pad_token: word(config.pad_token_id),
        chat_template,
        tokenizer,
        ..TextAssets::default()
    };
    Ok((config, text))
}

fn tokenizer(model: &dyn LanguageModel) -> Result<&Tokenizer> {
    model.text().tokenizer.as_ref().ok_or_else(|| Error::Input("The model has no tokenizer".into()))
}

fn event_frame(event: Event, stream: bool) -> Option<Frame> {
    match event {
        Event::Tokens { requests, tokens, logprobs } => stream.then(|| {
            Frame::new(json!({})).with("requests", requests).with("tokens", tokens).with("logprobs", logprobs)
        }),
        Event::Done { request, tokens, logprobs, text, finish, prompt_tokens } => Some(
            Frame::new(json!({
                "done": request,
                "text": text,
                "finish": finish.name(),
                "promptTokens": prompt_tokens,
            }))
            .with("tokens", tokens)
            .with("logprobs", logprobs),
        ),
    }
}
