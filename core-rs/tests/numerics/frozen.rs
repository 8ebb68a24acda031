//! A frozen model gives the bits of the same file opened for training, whether its weights are quantised or not.

use crate::fixture::{CAUSAL, folder, tokens};
use crate::support::{PRECISIONS, bits, generate, load_at, logprobs, request, smollm2_at, smollm2_path};
use rmr1_core::backend::Device;
use rmr1_core::forest::Forest;
use rmr1_core::model::{FrozenModel, LanguageModel, Model};

fn check(model: &Model, frozen: &FrozenModel, vocab: usize, what: &str) {
    assert_eq!(model.num_parameters(), frozen.num_parameters(), "{what}");
    let forest = Forest::new(tokens("frozen", 97, vocab), vec![40, 20, 7, 30], vec![-1, 0, 0, -1]).unwrap();
    let [trained, held] = [model as &dyn LanguageModel, frozen].map(|m| bits(&logprobs(m, &forest, 0.7)));
    assert_eq!(trained, held, "{what}: log-probabilities");
    let prompt = tokens("frozen", 9, vocab);
    let requests: Vec<_> = (0..3).map(|i| request(&prompt, 1.0, i)).collect();
    let [trained, held] = [model as &dyn LanguageModel, frozen].map(|m| {
        let rollouts = generate(m, &requests);
        rollouts.into_iter().map(|r| (r.tokens, bits(&r.logprobs))).collect::<Vec<_>>()
    });
    assert_eq!(trained, held, "{what}: rollouts");
}

#[test]
fn tiny_models_keep_their_bits() {
    for (name, precision) in CAUSAL.into_iter().flat_map(|name| PRECISIONS.map(|p| (name, p))) {
        let model = load_at(&folder(name), precision);
        let what = format!("{name} at {precision:?}");
        check(&model, &FrozenModel::load(&folder(name), Device::Cpu, precision).unwrap(), 97, &what);
        check(&model, &model.snapshot(None).unwrap(), 97, &format!("a snapshot of {what}"));
    }
}

#[test]
fn quantised_smollm2_keeps_its_bits() {
    for precision in PRECISIONS {
        let Some(model) = smollm2_at("quantised_smollm2_keeps_its_bits", precision) else { return };
        let frozen = FrozenModel::load(&smollm2_path().unwrap(), Device::Cpu, precision).unwrap();
        check(&model, &frozen, 49152, &format!("SmolLM2 at {precision:?}"));
    }
}
