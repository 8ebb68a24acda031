//! Memory, order, the cut of prompts into passes and whoever else is in the batch decide when a request is served,
//! and nothing else.

use crate::fixture::{CAUSAL, folder, tokens};
use crate::support::{bits, generate_with, load, logprobs, request};
use proptest::prelude::*;
use rmr1_core::Error;
use rmr1_core::cancel::Cancel;
use rmr1_core::forest::Forest;
use rmr1_core::generate::{Event, Options, Request};
use rmr1_core::model::{LanguageModel, Model};
use std::sync::LazyLock;

static MODELS: LazyLock<Vec<Model>> =
    LazyLock::new(|| CAUSAL.iter().map(|name| load(&folder(name))).collect());

/// A request that begins like others up to `shared` tokens and has `own` tokens of its own.
fn one() -> impl Strategy<Value = (usize, usize, usize, usize, usize)> {
    (0_usize..90, 0_usize..3, 0_usize..40, 1_usize..30, 0_usize..6)
}

fn requests(shapes: &[(usize, usize, usize, usize, usize)]) -> Vec<Request> {
    let trunk = tokens("trunk", 90, 97);
    let each = shapes.iter().enumerate().map(|(i, &(shared, branch, own, max_tokens, kind))| {
        let branch = tokens(&format!("branch {branch}"), own.max(usize::from(shared == 0)), 97);
        let plain = request(&[&trunk[..shared], &branch].concat(), [1.0, 0.7, 0.0][kind % 3], i);
        let plain = Request { max_tokens, ignore_eos: kind > 2, ..plain };
        match kind {
            1 => Request { min_p: 0.05, ..plain },
            4 => {
                Request { top_k: 20, top_p: 0.9, logit_bias: vec![(5, 2.0), (6, f32::NEG_INFINITY)], ..plain }
            }
            _ => plain,
        }
    });
    each.collect()
}

/// The least budget that no request is refused for. Nothing may begin before.
fn least_budget(model: &Model, requests: &[Request]) -> usize {
    let mut budget = 1;
    loop {
        let options = Options { kv_bytes: Some(budget), ..Options::default() };
        let mut stop = |_| Err(Error::Cancelled);
        match model.generate(requests, &options, &Cancel::new(), &mut stop).unwrap_err() {
            Error::Cancelled => return budget,
            refused => {
                let message = refused.to_string();
                assert!(message.contains(&format!("the budget of {budget}:")), "{message}");
                let needed: usize = message.split('"').nth(1).unwrap().parse().unwrap();
                assert!(needed > budget, "{message}");
                budget = needed;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn no_schedule_changes_a_bit(
        shapes in prop::collection::vec(one(), 1..14), model in 0_usize..3, room in prop_oneof![Just(1.0), 1.0_f64..4.0],
        prefill_rows in prop_oneof![1_usize..8, 8_usize..200], swaps in prop::collection::vec(any::<prop::sample::Index>(), 4),
    ) {
        let model = &MODELS[model];
        let mut requests = requests(&shapes);
        let count = requests.len();
        for pair in swaps.chunks(2) {
            requests.swap(pair[0].index(count), pair[1].index(count));
        }
        let alone: Vec<_> = requests
            .iter()
            .map(|r| generate_with(model, std::slice::from_ref(r), &Options::default()))
            .collect();
        let least = least_budget(model, &requests);
        let budget = (least as f64 * room) as usize;
        let options = Options { kv_bytes: Some(budget), prefill_rows };
        let (together, summary) = generate_with(model, &requests, &options);
        prop_assert!(summary.kv_budget == budget && summary.kv_peak <= budget && summary.kv_peak >= least);
        for (i, (r, (single, _))) in together.iter().zip(&alone).enumerate() {
            prop_assert_eq!(&r.tokens, &single[0].tokens, "request {}", i);
            prop_assert_eq!(bits(&r.logprobs), bits(&single[0].logprobs), "request {}", i);
            prop_assert_eq!(r.finish, single[0].finish);
            let sequence = [requests[i].prompt.as_slice(), &r.tokens].concat();
            let temperature = if requests[i].temperature == 0.0 { 1.0 } else { requests[i].temperature };
            let trainer = logprobs(model, &Forest::flat(&[sequence]).unwrap(), temperature);
            prop_assert_eq!(bits(&r.logprobs), bits(&trainer[requests[i].prompt.len()..]), "request {}", i);
        }
    }
}

/// Rollouts of each of some prompts of 100 tokens.
fn groups(prompts: usize, rollouts: usize) -> Vec<Request> {
    let group = |p: usize| {
        let prompt = tokens(&format!("prompt {p}"), 100, 97);
        (0..rollouts).map(move |i| Request { ignore_eos: true, ..request(&prompt, 1.0, p * rollouts + i) })
    };
    (0..prompts).flat_map(group).collect()
}

#[test]
fn waiting_rollouts_of_a_prompt_that_is_held_do_not_run_it_again() {
    let model = &MODELS[0];
    let group = groups(1, 12);
    let (_, alone) = generate_with(model, &group[..1], &Options::default());
    let (_, two) = generate_with(model, &group[..2], &Options::default());
    let options = Options { kv_bytes: Some(two.kv_peak), ..Options::default() };
    let (_, summary) = generate_with(model, &group, &options);
    assert_eq!((summary.prefilled, summary.waited, summary.kv_peak), (100, 10, two.kv_peak));
    // With room for one alone, each prompt of a row of groups still runs once.
    let options = Options { kv_bytes: Some(alone.kv_peak), ..Options::default() };
    let (_, summary) = generate_with(model, &groups(3, 4), &options);
    assert_eq!((summary.prefilled, summary.waited), (300, 11));
    // A prompt that is needed again later makes room for those before.
    let mixed: Vec<Request> = (0..4).flat_map(|i| groups(3, 4).into_iter().skip(i).step_by(4)).collect();
    let (_, summary) = generate_with(model, &mixed, &options);
    assert!(summary.prefilled > 300 && summary.prefilled <= 1200, "{summary:?}");
}

#[test]
fn those_who_wait_join_while_others_go_on() {
    let model = &MODELS[1];
    let mut requests = groups(2, 3);
    for (i, r) in requests.iter_mut().enumerate() {
        r.max_tokens = 10 + 5 * i;
    }
    let (_, three) = generate_with(model, &requests[..3], &Options::default());
    let options = Options { kv_bytes: Some(three.kv_peak + three.kv_peak / 2), prefill_rows: 16 };
    let (mut begun, mut ended) = (Vec::new(), Vec::new());
    let mut sink = |event| {
        match event {
            Event::Tokens { requests, .. } => {
                let new = requests
                    .iter()
                    .filter(|r| !begun.iter().any(|(b, _)| b == *r))
                    .copied()
                    .collect::<Vec<_>>();
                begun.extend(new.into_iter().map(|r| (r, (ended.len(), requests.len()))));
            }
            Event::Done { request, .. } => ended.push(request),
        }
        Ok(())
    };
    let summary = model.generate(&requests, &options, &Cancel::new(), &mut sink).unwrap();
    assert!(summary.waited > 0 && ended.len() == 6, "{summary:?}");
    let late = begun.iter().filter(|(_, (ended, together))| *ended > 0 && *together > 1).count();
    assert!(late > 0, "nobody joined a running batch: {begun:?}");
    assert!(begun.is_sorted_by_key(|(r, _)| *r), "admission keeps the order: {begun:?}");
}

#[test]
fn a_request_fills_the_models_context() {
    let model = &MODELS[0];
    let context = model.config().max_position;
    let long = Request {
        max_tokens: usize::MAX,
        ignore_eos: true,
        ..request(&tokens("p", context - 40, 97), 1.0, 0)
    };
    let (rollouts, _) = generate_with(model, &[long], &Options { prefill_rows: 300, ..Options::default() });
    assert_eq!((rollouts[0].tokens.len(), rollouts[0].finish.name()), (40, "context"));
}
