//! The same bits at any thread count, and the same draws whatever else is in the batch.

use crate::fixture::{CAUSAL, folder, numbers, tokens};
use crate::support::{
    Gradients, PRECISIONS, Rollout, assert_near, bits, differentiate, generate, load, masked, request,
    smollm2_at,
};
use rmr1_core::backend::{Device, set_threads};
use rmr1_core::config::{Family, ModelConfig, RopeScaling};
use rmr1_core::forest::Forest;
use rmr1_core::generate::Request;
use rmr1_core::model::{AdamW, Coefficients, ForwardOptions, Model, Precision};
use rmr1_core::weights::TextAssets;
use std::collections::BTreeSet;
use std::sync::Mutex;

/// The pool is one a process.
static POOL: Mutex<()> = Mutex::new(());

/// What work gives at 1, 2 and 3 threads.
fn at_each_thread_count<R>(mut work: impl FnMut() -> R) -> [R; 3] {
    let _alone = POOL.lock().unwrap_or_else(|e| e.into_inner());
    let results = [1, 2, 3].map(|threads| {
        set_threads(threads);
        work()
    });
    set_threads(0);
    results
}

fn all_equal<T: PartialEq>(values: &[T]) -> bool {
    values.windows(2).all(|w| w[0] == w[1])
}

fn gradient_bits(gradients: &Gradients) -> Vec<Vec<u32>> {
    gradients.values().map(|g| bits(g)).collect()
}

/// Wide enough that every operation is divided among threads.
fn middle_sized(precision: Precision) -> Model {
    let config = ModelConfig {
        family: Family::Llama,
        vocab_size: 3001,
        hidden_size: 192,
        intermediate_size: 517,
        num_layers: 2,
        num_heads: 6,
        num_kv_heads: 2,
        head_dim: 32,
        max_position: 512,
        rope_theta: 10000.0,
        rope_scaling: RopeScaling::Default,
        rms_norm_eps: 1e-5,
        tie_word_embeddings: true,
        attention_bias: false,
        mlp_bias: false,
        bos_token_id: Some(1),
        eos_token_ids: vec![2],
        pad_token_id: None,
    };
    Model::init(config, TextAssets::default(), 7, Device::Cpu, precision).unwrap()
}

fn grouped(vocab: usize, prompt: usize, rollouts: &[usize]) -> (Forest, ForwardOptions, Coefficients<f32>) {
    let lengths: Vec<u32> =
        std::iter::once(prompt).chain(rollouts.iter().copied()).map(|n| n as u32).collect();
    let total = lengths.iter().sum::<u32>() as usize;
    let parents = std::iter::once(-1).chain(rollouts.iter().map(|_| 0)).collect();
    let forest = Forest::new(tokens("grouped", total, vocab), lengths, parents).unwrap();
    let d_logprobs = masked(&forest, &numbers("logprob:grouped", total));
    let d_entropies = masked(&forest, &numbers("entropy:grouped", total));
    let options = ForwardOptions { temperature: 0.7, entropy: true, ..ForwardOptions::default() };
    (forest, options, Coefficients { d_logprobs, d_entropies, ..Coefficients::default() })
}

#[test]
fn threads_change_no_bit_of_a_pass_or_a_step() {
    let (forest, options, coefficients) = grouped(3001, 120, &[90, 1, 33, 64, 17]);
    let optimizer = AdamW {
        learning_rate: 1e-2,
        beta1: 0.9,
        beta2: 0.95,
        epsilon: 1e-8,
        weight_decay: 0.1,
        max_grad_norm: 1.0,
    };
    for precision in PRECISIONS {
        let results = at_each_thread_count(|| {
            let mut model = middle_sized(precision);
            let before = differentiate(&mut model, &forest, &options, &coefficients);
            let mut norms = Vec::new();
            for _ in 0..2 {
                let tape = model.forward(&forest, &options, &Default::default()).unwrap();
                model.backward(&tape, &coefficients, &Default::default()).unwrap();
                norms.push(model.step(&optimizer).unwrap().to_bits());
            }
            let after = differentiate(&mut model, &forest, &options, &coefficients);
            assert_ne!(bits(&before.logprobs), bits(&after.logprobs), "two steps changed nothing");
            let gradients = [gradient_bits(&before.gradients), gradient_bits(&after.gradients)];
            let values = [before.logprobs, before.entropies, after.logprobs, after.entropies];
            (values.map(|v| bits(&v)), gradients, norms)
        });
        assert!(all_equal(&results), "1, 2 and 3 threads give different bits at {precision:?}");
    }
}

#[test]
fn threads_change_no_bit_of_smollm2() {
    for precision in PRECISIONS {
        let Some(mut model) = smollm2_at("threads_change_no_bit_of_smollm2", precision) else { return };
        let (forest, options, coefficients) = grouped(49152, 24, &[9, 20, 1, 13]);
        let results = at_each_thread_count(|| {
            let pass = differentiate(&mut model, &forest, &options, &coefficients);
            (bits(&pass.logprobs), bits(&pass.entropies), gradient_bits(&pass.gradients))
        });
        assert!(all_equal(&results), "1, 2 and 3 threads give different bits at {precision:?}");
    }
}

#[test]
fn threads_change_no_rollout() {
    for precision in PRECISIONS {
        let model = middle_sized(precision);
        let prompt = tokens("prompt", 30, 3001);
        let requests: Vec<Request> = (0..9).map(|i| request(&prompt, 1.0, i)).collect();
        let results = at_each_thread_count(|| signature(&generate(&model, &requests)));
        assert!(all_equal(&results), "1, 2 and 3 threads give different rollouts at {precision:?}");
    }
}

/// Tokens and the bits of their log-probabilities.
fn signature(rollouts: &[Rollout]) -> Vec<(Vec<u32>, Vec<u32>)> {
    rollouts.iter().map(|r| (r.tokens.clone(), bits(&r.logprobs))).collect()
}

#[test]
fn a_draw_depends_on_its_key_alone() {
    for name in CAUSAL {
        let model = load(&folder(name));
        let requests: Vec<Request> = (0..12)
            .map(|i| {
                let prompt = tokens(["one", "two"][i % 2], 6 + 20 * (i % 2), 97);
                Request { max_tokens: 5 + 3 * i, ..request(&prompt, [1.0, 0.7][i / 6], i) }
            })
            .collect();
        let together = signature(&generate(&model, &requests));
        let mut reversed: Vec<Request> = requests.clone();
        reversed.reverse();
        let mut backwards = signature(&generate(&model, &reversed));
        backwards.reverse();
        assert_eq!(together, backwards, "{name}: the order of requests changes rollouts");
        for (i, q) in requests.iter().enumerate() {
            let alone = signature(&generate(&model, std::slice::from_ref(q)));
            assert_eq!(together[i], alone[0], "{name}: request {i} alone differs from the batch");
        }
    }
}

#[test]
fn rollouts_of_a_group_differ_and_so_do_steps_and_seeds() {
    let model = load(&folder(CAUSAL[0]));
    let prompt = tokens("prompt", 10, 97);
    let base: Vec<Request> =
        (0..8).map(|i| Request { ignore_eos: true, ..request(&prompt, 1.0, i) }).collect();
    let changed = |change: fn(&mut Request)| {
        let mut requests = base.clone();
        requests.iter_mut().for_each(change);
        generate(&model, &requests).into_iter().map(|r| r.tokens).collect::<Vec<_>>()
    };
    let all = [
        changed(|_| {}),
        changed(|q| q.key.seed += 1),
        changed(|q| q.key.step += 1),
        changed(|q| q.key.prompt += 1),
    ];
    let distinct: BTreeSet<&Vec<u32>> = all.iter().flatten().collect();
    assert_eq!(distinct.len(), 32, "rollouts with different keys coincide");
    assert_eq!(changed(|_| {}), all[0], "the same keys give different rollouts");
}

#[test]
fn recomputation_changes_no_bit() {
    for precision in PRECISIONS {
        let mut model = middle_sized(precision);
        let (forest, options, coefficients) = grouped(3001, 70, &[40, 3]);
        let kept = differentiate(&mut model, &forest, &options, &coefficients);
        let again = ForwardOptions { recompute: true, ..options };
        let recomputed = differentiate(&mut model, &forest, &again, &coefficients);
        assert_eq!(bits(&kept.logprobs), bits(&recomputed.logprobs));
        assert_near(&kept.gradients, &recomputed.gradients, 0.0, "recomputation");
    }
}
