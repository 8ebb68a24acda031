//! A forest's values and gradients against its sequences written out flat, and gradients under reordering and
//! splitting of a batch.

use crate::fixture::{CAUSAL, SCORE, folder, numbers, tokens};
use crate::support::{Gradients, assert_near, bits, differentiate, load, logprobs, masked, take_gradients};
use proptest::prelude::*;
use rmr1_core::cancel::Cancel;
use rmr1_core::forest::{Forest, Layout};
use rmr1_core::model::{Coefficients, ForwardOptions, Model};

/// Of each tensor's norm.
const TOLERANCE: f64 = 1e-5;

/// A root-to-leaf path: its tokens' indexes in the forest, and whether it is the first path through each.
struct Sequence {
    index: Vec<usize>,
    first: Vec<bool>,
}

fn sequences(forest: &Forest) -> Vec<Sequence> {
    let layout = Layout::new(forest);
    let mut seen = vec![false; forest.tokens.len()];
    let leaves = layout.segments.iter().filter(|s| s.subtree.len() == 1);
    leaves
        .map(|leaf| {
            let ranges = leaf
                .ancestors
                .iter()
                .map(|&a| layout.segments[a].tokens.clone())
                .chain([leaf.tokens.clone()]);
            let index: Vec<usize> = ranges.flatten().collect();
            let first = index.iter().map(|&i| !std::mem::replace(&mut seen[i], true)).collect();
            Sequence { index, first }
        })
        .collect()
}

/// Values of the forest's tokens on the flat sequences, zero for a token that an earlier sequence counts.
fn flat_values(sequences: &[Sequence], values: &[f32]) -> Vec<f32> {
    let each = sequences.iter().flat_map(|s| s.index.iter().zip(&s.first));
    each.map(|(&i, &first)| if first { values[i] } else { 0.0 }).collect()
}

fn any_forest(vocab: u32) -> impl Strategy<Value = Forest> {
    prop::collection::vec((1_u32..40, any::<prop::sample::Index>(), 0..4_u8), 1..9).prop_flat_map(
        move |segments| {
            let lengths: Vec<u32> = segments.iter().map(|s| s.0).collect();
            let parents = segments
                .iter()
                .enumerate()
                .map(|(i, (_, parent, kind))| if i == 0 || *kind == 0 { -1 } else { parent.index(i) as i32 });
            let parents: Vec<i32> = parents.collect();
            let total = lengths.iter().sum::<u32>() as usize;
            prop::collection::vec(0..vocab, total)
                .prop_map(move |tokens| Forest::new(tokens, lengths.clone(), parents.clone()).unwrap())
        },
    )
}

fn entropy_options(temperature: f32) -> ForwardOptions {
    ForwardOptions { temperature, entropy: true, ..ForwardOptions::default() }
}

/// Coefficients on the log-probabilities and entropies of a forest, from named streams of numbers.
fn coefficients(forest: &Forest, label: &str) -> (Vec<f32>, Vec<f32>) {
    let values = |kind: &str| masked(forest, &numbers(&format!("{kind}:{label}"), forest.tokens.len()));
    (values("logprob"), values("entropy"))
}

fn check_flat(model: &mut Model, forest: &Forest, temperature: f32) {
    let sequences = sequences(forest);
    let written_out: Vec<Vec<u32>> =
        sequences.iter().map(|s| s.index.iter().map(|&i| forest.tokens[i]).collect()).collect();
    let flat = Forest::flat(&written_out).unwrap();
    let (d_logprobs, d_entropies) = coefficients(forest, "flat");
    let flat_coefficients = Coefficients {
        d_logprobs: flat_values(&sequences, &d_logprobs),
        d_entropies: flat_values(&sequences, &d_entropies),
        ..Coefficients::default()
    };
    let shared_coefficients = Coefficients { d_logprobs, d_entropies, ..Coefficients::default() };
    let shared = differentiate(model, forest, &entropy_options(temperature), &shared_coefficients);
    let apart = differentiate(model, &flat, &entropy_options(temperature), &flat_coefficients);
    let index = sequences.iter().flat_map(|s| &s.index);
    let gathered = |values: &[f32]| index.clone().map(|&i| values[i]).collect::<Vec<_>>();
    assert_eq!(bits(&gathered(&shared.logprobs)), bits(&apart.logprobs), "log-probabilities of {forest:?}");
    assert_eq!(bits(&gathered(&shared.entropies)), bits(&apart.entropies), "entropies of {forest:?}");
    assert_near(&apart.gradients, &shared.gradients, TOLERANCE, &format!("gradients of {forest:?}"));
}

#[test]
fn a_forest_equals_its_sequences_written_out() {
    for name in CAUSAL {
        let model = std::cell::RefCell::new(load(&folder(name)));
        proptest!(ProptestConfig::with_cases(12), |(forest in any_forest(97), hot: bool)| {
            check_flat(&mut model.borrow_mut(), &forest, if hot { 1.0 } else { 0.7 });
        });
    }
}

#[test]
fn scores_of_a_forest_equal_those_of_its_sequences() {
    let model = std::cell::RefCell::new(load(&folder(SCORE)));
    proptest!(ProptestConfig::with_cases(12), |(forest in any_forest(61))| {
        let sequences = sequences(&forest);
        let index: Vec<usize> = sequences.iter().flat_map(|s| s.index.clone()).collect();
        let flat: Vec<Vec<u32>> =
            sequences.iter().map(|s| s.index.iter().map(|&i| forest.tokens[i]).collect()).collect();
        let flat = Forest::flat(&flat).unwrap();
        let d_scores = numbers("score:flat", forest.tokens.len());
        let scored = |forest: &Forest, d_scores: Vec<f32>| {
            let count = forest.tokens.len();
            let options = ForwardOptions {
                select: Some(vec![0; count]),
                scores: (0..count as u32).collect(),
                ..ForwardOptions::default()
            };
            let coefficients = Coefficients { d_scores, ..Coefficients::default() };
            differentiate(&mut model.borrow_mut(), forest, &options, &coefficients)
        };
        let apart = scored(&flat, flat_values(&sequences, &d_scores));
        let shared = scored(&forest, d_scores);
        let gathered: Vec<f32> = index.iter().map(|&i| shared.scores[i]).collect();
        prop_assert_eq!(bits(&gathered), bits(&apart.scores));
        assert_near(&apart.gradients, &shared.gradients, TOLERANCE, "gradients of scores");
    });
}

/// Lengths of a group's rollouts, and of the prompt that they share.
const ROLLOUTS: [usize; 7] = [9, 30, 1, 17, 64, 5, 33];
const PROMPT: usize = 75;

/// A prompt and some rollouts of its group with their coefficients; `counted`: whether the prompt's tokens carry any.
fn group(rollouts: &[usize], counted: bool) -> (Forest, Coefficients<f32>) {
    let mut all = tokens("prompt", PROMPT, 97);
    let mut d_logprobs = numbers("logprob:prompt", PROMPT);
    let mut d_entropies = numbers("entropy:prompt", PROMPT);
    if !counted {
        d_logprobs.fill(0.0);
        d_entropies.fill(0.0);
    }
    for &r in rollouts {
        all.extend(tokens(&format!("rollout {r}"), ROLLOUTS[r], 97));
        d_logprobs.extend(numbers(&format!("logprob:rollout {r}"), ROLLOUTS[r]));
        d_entropies.extend(numbers(&format!("entropy:rollout {r}"), ROLLOUTS[r]));
    }
    let lengths = std::iter::once(PROMPT).chain(rollouts.iter().map(|&r| ROLLOUTS[r])).map(|n| n as u32);
    let parents = std::iter::once(-1).chain(rollouts.iter().map(|_| 0));
    let forest = Forest::new(all, lengths.collect(), parents.collect()).unwrap();
    let d_logprobs = masked(&forest, &d_logprobs);
    let d_entropies = masked(&forest, &d_entropies);
    (forest, Coefficients { d_logprobs, d_entropies, ..Coefficients::default() })
}

/// Gradients of micro-batches, accumulated in order.
fn accumulated(model: &mut Model, batches: &[(Forest, Coefficients<f32>)]) -> Gradients {
    for (forest, coefficients) in batches {
        let tape = model.forward(forest, &entropy_options(0.7), &Cancel::new()).unwrap();
        model.backward(&tape, coefficients, &Cancel::new()).unwrap();
    }
    take_gradients(model)
}

#[test]
fn gradients_do_not_depend_on_the_order_of_a_group() {
    for name in CAUSAL {
        let mut model = load(&folder(name));
        let ordered = accumulated(&mut model, &[group(&[0, 1, 2, 3, 4, 5, 6], true)]);
        for order in [[6, 5, 4, 3, 2, 1, 0], [3, 0, 6, 2, 5, 1, 4]] {
            let permuted = accumulated(&mut model, &[group(&order, true)]);
            assert_near(&ordered, &permuted, TOLERANCE, &format!("{name}, order {order:?}"));
        }
    }
}

#[test]
fn gradients_do_not_depend_on_the_split_into_micro_batches() {
    for name in CAUSAL {
        let mut model = load(&folder(name));
        let whole = accumulated(&mut model, &[group(&[0, 1, 2, 3, 4, 5, 6], true)]);
        let splits: [&[&[usize]]; 3] = [
            &[&[0, 1, 2, 3], &[4, 5, 6]],
            &[&[0, 1], &[2, 3], &[4, 5], &[6]],
            &[&[0], &[1], &[2], &[3], &[4], &[5], &[6]],
        ];
        for split in splits {
            let batches: Vec<_> = split.iter().enumerate().map(|(i, part)| group(part, i == 0)).collect();
            let parts = accumulated(&mut model, &batches);
            assert_near(&whole, &parts, TOLERANCE, &format!("{name}, split {split:?}"));
        }
    }
}

#[test]
fn log_probabilities_do_not_depend_on_what_else_is_in_the_batch() {
    for name in CAUSAL {
        let model = load(&folder(name));
        let sequences: Vec<Vec<u32>> =
            [1, 2, 7, 40, 65, 130].iter().map(|&n| tokens(&format!("sequence {n}"), n, 97)).collect();
        let together = logprobs(&model, &Forest::flat(&sequences).unwrap(), 0.7);
        let apart: Vec<f32> = sequences
            .iter()
            .flat_map(|s| logprobs(&model, &Forest::flat(std::slice::from_ref(s)).unwrap(), 0.7))
            .collect();
        assert_eq!(bits(&together), bits(&apart), "{name}");
    }
}

#[test]
fn a_selection_leaves_the_other_log_probabilities_out_and_changes_no_bit() {
    let model = load(&folder(CAUSAL[0]));
    let forest = Forest::flat(&[tokens("selected", 90, 97)]).unwrap();
    let all = logprobs(&model, &forest, 1.0);
    let select: Vec<u8> = numbers("selection", 90).iter().map(|&x| u8::from(x > 0.4)).collect();
    let options = ForwardOptions { select: Some(select.clone()), ..ForwardOptions::default() };
    let some = model.forward(&forest, &options, &Cancel::new()).unwrap().logprobs;
    for (i, &chosen) in select.iter().enumerate() {
        let expected = if chosen == 1 { all[i] } else { f32::NAN };
        assert_eq!(some[i].is_nan(), expected.is_nan(), "token {i}");
        assert!(expected.is_nan() || some[i].to_bits() == expected.to_bits(), "token {i}");
    }
}
