//! Whole models with adapters: passes, generation, references and memory.

use super::model::{bits, cases, check_sampler, configs, cpu, cuda, distance, forest, step, watched};
use crate::backend::{Arithmetic, Precision};
use crate::cancel::Cancel;
use crate::config::ModelConfig;
use crate::model::{LoraShape, Model, SaveOptions, Target};

/// Puts adapters with dropout on a model, which is trained for two steps.
fn adapt(model: &mut Model, rank: usize) {
    model.add_lora(LoraShape::new(rank, 2.0 * rank as f64, 0.25, Target::ALL.to_vec()).unwrap(), 3).unwrap();
    for _ in 0..2 {
        step(model, false).unwrap();
    }
}

/// The same adapters on another model.
fn copy(from: &Model, to: &mut Model) {
    let folder = tempfile::tempdir().unwrap();
    from.save(folder.path(), &SaveOptions { optimizer: true, ..SaveOptions::default() }).unwrap();
    to.restore(folder.path()).unwrap();
}

#[test]
fn steps_with_adapters_are_the_cpus() {
    let Some(device) = super::device() else { return };
    for ((config, arithmetic), rank) in cases().zip([3, 8, 1]) {
        let mut expected = cpu(Precision::F32, &config);
        adapt(&mut expected, rank);
        for recompute in [false, true] {
            let what = format!("{:?} {arithmetic:?} rank {rank}, recompute {recompute}", config.family);
            let mut found = cuda(&device, arithmetic, Precision::F32, &config);
            copy(&expected, &mut found);
            let (e, f) = (step(&mut expected, recompute).unwrap(), step(&mut found, recompute).unwrap());
            assert!(distance(&f.logprobs, &e.logprobs) < 1e-5, "{what}: log-probabilities");
            assert!(distance(&f.entropies, &e.entropies) < 1e-5, "{what}: entropies");
            assert!((f.norm / e.norm - 1.0).abs() < 1e-5, "{what}: norm {} and {}", f.norm, e.norm);
            assert_eq!(f.gradients.len(), 2 * 7 * config.num_layers);
            for ((name, f), (_, e)) in f.gradients.iter().zip(&e.gradients) {
                let gap = distance(f, e);
                assert!(gap < 5e-5, "{what}: gradient of {name} is {gap:e} off");
            }
            for ((name, f), (_, e)) in f.weights.iter().zip(&e.weights) {
                let gap = distance(f, e);
                assert!(gap < 5e-4, "{what}: {name} is {gap:e} off after the step");
            }
        }
    }
}

#[test]
fn rounded_steps_with_adapters_are_as_near_to_f32_as_the_cpus() {
    let Some(device) = super::device() else { return };
    let config = &configs()[0];
    let mut trained = cpu(Precision::F32, config);
    adapt(&mut trained, 4);
    let [exact, there, here] = [
        cpu(Precision::F32, config),
        cpu(Precision::Bf16, config),
        cuda(&device, Arithmetic::Exact, Precision::Bf16, config),
    ]
    .map(|mut model| {
        copy(&trained, &mut model);
        let stepped = step(&mut model, false).unwrap();
        (stepped.logprobs, stepped.gradients.into_iter().flat_map(|(_, x)| x).collect::<Vec<f32>>())
    });
    for (what, exact, there, here) in
        [("log-probabilities", &exact.0, &there.0, &here.0), ("gradients", &exact.1, &there.1, &here.1)]
    {
        let (cpu, cuda) = (distance(there, exact), distance(here, exact));
        assert!(cuda < 1.25 * cpu, "{what} are {cuda:e} off, on the CPU {cpu:e}");
    }
}

#[test]
fn the_sampler_is_the_trainer_with_adapters_on() {
    let Some(device) = super::device() else { return };
    let precisions = [Precision::F32, Precision::Bf16, Precision::Bf16];
    for ((config, precision), rank) in configs().iter().zip(precisions).zip([3, 8, 1]) {
        let mut model = cuda(&device, Arithmetic::Exact, precision, config);
        adapt(&mut model, rank);
        check_sampler(&model, &format!("{:?} {precision:?} rank {rank}", config.family));
    }
}

#[test]
fn a_reference_takes_no_memory_and_a_merged_copy_says_the_same() {
    let Some((emulator, device)) = watched(1 << 30) else { return };
    let config = &configs()[2];
    let (forest, never) = (forest(), Cancel::new());
    let mut model = cuda(&device, Arithmetic::Exact, Precision::F32, config);
    let before = model.logprobs(&forest, 1.0, None, &never).unwrap();
    adapt(&mut model, 5);
    let held = emulator.in_use();
    let reference = model.snapshot(None).unwrap();
    assert_eq!(emulator.in_use(), held);
    step(&mut model, false).unwrap();
    assert_eq!(bits(&reference.logprobs(&forest, 1.0, None, &never).unwrap()), bits(&before));
    let merged = model.snapshot(Some(Precision::F32.into())).unwrap();
    let [merged, adapted] =
        [merged.logprobs(&forest, 1.0, None, &never), model.logprobs(&forest, 1.0, None, &never)]
            .map(Result::unwrap);
    assert!(distance(&merged, &adapted) < 1e-6 && distance(&before, &adapted) > 1e-3);
}

#[test]
fn what_is_told_of_a_steps_memory_with_adapters_is_what_it_takes() {
    let Some((emulator, device)) = watched(1 << 30) else { return };
    let config = ModelConfig { hidden_size: 64, intermediate_size: 160, ..configs()[0].clone() };
    let tokens = forest().tokens.len();
    for recompute in [false, true] {
        let mut model = cuda(&device, Arithmetic::Exact, Precision::Bf16, &config);
        let targets = vec![Target::Q, Target::O, Target::Down];
        model.add_lora(LoraShape::new(8, 8.0, 0.5, targets).unwrap(), 3).unwrap();
        let told = model.training_memory().unwrap();
        let held = emulator.in_use();
        emulator.forget_peak();
        step(&mut model, recompute).unwrap();
        let took = emulator.peak() - held;
        let token = if recompute { told.recomputed_token } else { told.token };
        let expected = told.state + told.pass.min(tokens * (config.vocab_size + 3) * 6) + tokens * token;
        let ratio = took as f64 / expected as f64;
        assert!((0.7..=1.05).contains(&ratio), "recompute {recompute}: {took} bytes, {expected} were told");
    }
}
