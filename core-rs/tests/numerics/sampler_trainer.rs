//! The sampler and the trainer are the same arithmetic: what a rollout recorded as it was sampled is, bit for bit,
//! what the trainer's forward pass says of it.

use crate::fixture::{CAUSAL, folder, tokens};
use crate::support::{
    PRECISIONS, Rollout, bits, generate, load, load_at, logprobs, masked, request, smollm2_at,
};
use rmr1_core::cancel::Cancel;
use rmr1_core::forest::Forest;
use rmr1_core::generate::{Finish, Options, Request};
use rmr1_core::model::{AdamW, Coefficients, ForwardOptions, LanguageModel, Model};
use rmr1_core::{Error, Result};

/// Asserts that the trainer agrees with each rollout, on flat sequences and on one forest of groups by prompt.
pub fn check(model: &Model, requests: &[Request], rollouts: &[Rollout], temperature: f32, what: &str) {
    let sequences: Vec<Vec<u32>> =
        requests.iter().zip(rollouts).map(|(q, r)| [q.prompt.as_slice(), &r.tokens].concat()).collect();
    let flat = logprobs(model, &Forest::flat(&sequences).unwrap(), temperature);
    let mut start = 0;
    for (i, (q, r)) in requests.iter().zip(rollouts).enumerate() {
        assert!(!r.tokens.is_empty(), "{what}: request {i} gave no token");
        let own = &flat[start + q.prompt.len()..start + q.prompt.len() + r.tokens.len()];
        assert_eq!(
            bits(&r.logprobs),
            bits(own),
            "{what}: request {i} of {} against the flat batch",
            requests.len()
        );
        start += q.prompt.len() + r.tokens.len();
    }

    let (mut all, mut lengths, mut parents, mut places) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut prompts: Vec<&[u32]> = Vec::new();
    let mut roots = Vec::new();
    for (q, r) in requests.iter().zip(rollouts) {
        let known = prompts.iter().position(|p| *p == q.prompt);
        let root = known.map(|k| roots[k]).unwrap_or_else(|| {
            prompts.push(&q.prompt);
            roots.push(lengths.len() as i32);
            all.extend(&q.prompt);
            lengths.push(q.prompt.len() as u32);
            parents.push(-1);
            lengths.len() as i32 - 1
        });
        places.push(all.len());
        all.extend(&r.tokens);
        lengths.push(r.tokens.len() as u32);
        parents.push(root);
    }
    let shared = logprobs(model, &Forest::new(all, lengths, parents).unwrap(), temperature);
    for (i, (&at, r)) in places.iter().zip(rollouts).enumerate() {
        let own = &shared[at..at + r.tokens.len()];
        assert_eq!(bits(&r.logprobs), bits(own), "{what}: request {i} against the forest");
    }
}

/// Requests of two prompts, the second of which begins like the first, with rollouts of uneven lengths.
pub fn batch(size: usize, temperature: f32, prompt: usize, vocab: usize, longest: usize) -> Vec<Request> {
    let first = tokens("shared prompt", prompt, vocab);
    let second = [&first[..prompt / 2], &tokens("own prompt", prompt / 2 + 3, vocab)].concat();
    let each = (0..size).map(|i| {
        let prompt = if i % 3 == 2 { &second } else { &first };
        Request { max_tokens: 2 + (i * 7) % longest, ..request(prompt, temperature, i) }
    });
    each.collect()
}

#[test]
fn tiny_models_at_any_batch_and_temperature() {
    for (name, precision) in CAUSAL.into_iter().flat_map(|name| PRECISIONS.map(|p| (name, p))) {
        let model = load_at(&folder(name), precision);
        for size in [1, 3, 16] {
            for temperature in [1.0, 0.7] {
                for prompt in [1, 5, 80] {
                    let requests = batch(size, temperature, prompt, 97, 60);
                    let rollouts = generate(&model, &requests);
                    let what = format!(
                        "{name} at {precision:?}, batch {size}, temperature {temperature}, prompt {prompt}"
                    );
                    check(&model, &requests, &rollouts, temperature, &what);
                }
            }
        }
    }
}

#[test]
fn rollouts_end_at_different_times() {
    let model = load(&folder(CAUSAL[1]));
    let prompt = tokens("prompt", 12, 160);
    let requests: Vec<Request> = (0..16)
        .map(|i| Request { max_tokens: 300, ignore_eos: i % 2 == 1, ..request(&prompt, 1.0, i) })
        .collect();
    let rollouts = generate(&model, &requests);
    check(&model, &requests, &rollouts, 1.0, "end of sequence");
    for (i, r) in rollouts.iter().enumerate() {
        match r.finish {
            Finish::Eos => assert!(i % 2 == 0 && r.tokens.last() == Some(&2) && r.tokens.len() <= 300),
            Finish::Length => assert_eq!(r.tokens.len(), 300),
            _ => panic!("rollout {i} ended by {:?}", r.finish),
        }
        assert_eq!(
            r.tokens.iter().filter(|&&t| t == 2).count(),
            usize::from(matches!(r.finish, Finish::Eos))
        );
    }
    let ended: std::collections::BTreeSet<usize> = rollouts.iter().map(|r| r.tokens.len()).collect();
    assert!(ended.len() >= 3, "rollouts ended at lengths {ended:?} only");
}

#[test]
fn a_rollout_across_1024_tokens() {
    for precision in PRECISIONS {
        let model = load_at(&folder(CAUSAL[2]), precision);
        let prompt = tokens("long prompt", 1000, 131);
        let requests: Vec<Request> = (0..3)
            .map(|i| Request { max_tokens: 60 + i, ignore_eos: true, ..request(&prompt, 0.7, i) })
            .collect();
        check(&model, &requests, &generate(&model, &requests), 0.7, "1,000 tokens of prompt");
    }
}

#[test]
fn filters_and_greedy_record_the_whole_distribution() {
    let model = load(&folder(CAUSAL[0]));
    let prompt = tokens("prompt", 20, 97);
    let filtered: Vec<Request> = (0..4)
        .map(|i| Request { top_k: [0, 5][i % 2], top_p: [1.0, 0.6][i / 2], ..request(&prompt, 0.7, i) })
        .collect();
    check(&model, &filtered, &generate(&model, &filtered), 0.7, "top-k and top-p");
    let greedy = [request(&prompt, 0.0, 0), request(&prompt, 0.0, 1)];
    let rollouts = generate(&model, &greedy);
    check(&model, &greedy, &rollouts, 1.0, "greedy");
    assert_eq!(rollouts[0].tokens, rollouts[1].tokens, "greedy rollouts differ");
}

#[test]
fn smollm2_at_any_batch_and_temperature() {
    for precision in PRECISIONS {
        let Some(model) = smollm2_at("smollm2_at_any_batch_and_temperature", precision) else { return };
        for (size, temperature) in [(1, 0.7), (3, 1.0), (16, 0.7), (16, 1.0)] {
            let requests = batch(size, temperature, 40, 49152, 11);
            let what = format!("SmolLM2 at {precision:?}, batch {size}, temperature {temperature}");
            check(&model, &requests, &generate(&*model, &requests), temperature, &what);
        }
    }
}

#[test]
fn weights_that_have_diverged_give_no_token_and_take_no_step() {
    for temperature in [0.0, 1.0] {
        let mut model = load(&folder(CAUSAL[0]));
        let tokens = tokens("diverge", 12, model.config().vocab_size);
        diverge(&mut model, &tokens).unwrap();
        let mut sink = |event| panic!("{event:?}");
        let requests = [request(&tokens, temperature, 0)];
        let error = model.generate(&requests, &Options::default(), &Cancel::new(), &mut sink).unwrap_err();
        assert!(matches!(error, Error::NotFinite(_)), "{error:?}");
        assert!(error.to_string().starts_with("Request 0: the logits of new token 0 are \"NaN\""), "{error}");
        let error = diverge(&mut model, &tokens).unwrap_err();
        assert!(matches!(error, Error::NotFinite(_)), "{error:?}");
    }
}

/// A training step so long that no number survives it.
fn diverge(model: &mut Model, tokens: &[u32]) -> Result<f64> {
    let forest = Forest::flat(&[tokens.to_vec()])?;
    let tape = model.forward(&forest, &ForwardOptions::default(), &Cancel::new())?;
    let d_logprobs = masked(&forest, &vec![-1.0; tokens.len()]);
    model.backward(&tape, &Coefficients { d_logprobs, ..Coefficients::default() }, &Cancel::new())?;
    let (beta1, beta2, epsilon) = (0.9, 0.99, 1e-8);
    model.step(&AdamW { learning_rate: 1e30, beta1, beta2, epsilon, weight_decay: 0.0, max_grad_norm: 0.0 })
}
