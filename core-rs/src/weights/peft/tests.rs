use super::*;
use proptest::prelude::*;

/// What PEFT 0.21 writes.
fn written() -> Value {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/adapters/causal/adapter_config.json");
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

#[test]
fn what_peft_writes_is_understood() {
    let expected =
        LoraShape::new(3, 7.0, 0.1, vec![Target::Q, Target::K, Target::Gate, Target::Down]).unwrap();
    assert_eq!(shape(&written()), Ok(expected));
}

#[test]
fn options_that_compute_something_else_are_named() {
    for (name, value) in [
        ("peft_type", json!("IA3")),
        ("bias", json!("lora_only")),
        ("use_rslora", json!(true)),
        ("use_dora", json!(true)),
        ("lora_bias", json!(true)),
        ("fan_in_fan_out", json!(true)),
        ("rank_pattern", json!({ "q_proj": 4 })),
        ("alpha_pattern", json!({ "q_proj": 4 })),
        ("layers_to_transform", json!([0])),
        ("layer_replication", json!([[0, 2]])),
        ("modules_to_save", json!(["lm_head"])),
        ("modules_to_save", json!("score")),
        ("init_lora_weights", json!("pissa")),
        ("target_modules", json!(["q_proj", "model.embed_tokens"])),
        ("target_modules", json!(["q_proj", 3])),
        ("target_modules", json!(".*_proj")),
        ("target_modules", json!([])),
        ("r", json!(2.5)),
        ("lora_alpha", json!("big")),
        ("lora_alpha", json!(0)),
        ("lora_dropout", json!(1)),
        ("an_option_to_come", json!("on")),
    ] {
        let mut config = written();
        config[name] = value.clone();
        let found = shape(&config).unwrap_err();
        let said = name.trim_start_matches("lora_");
        assert!(found.contains(said) || found.contains("targets"), "{name} {value}: {found}");
    }
    for name in ["peft_type", "r", "lora_alpha", "lora_dropout", "target_modules"] {
        let mut config = written();
        config.as_object_mut().unwrap().remove(name);
        assert_eq!(shape(&config).unwrap_err(), format!("{name} is missing"));
    }
    let mut config = written();
    let paths = Target::ALL.map(|target| format!("model.layers.1.part.{}", target.name()));
    let paths = json!([&paths[..], &["down_proj".to_string()][..]].concat());
    for targets in [json!("all-linear"), paths] {
        config["target_modules"] = targets;
        assert_eq!(shape(&config).unwrap().targets, Target::ALL);
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        rank in 1_usize..300,
        alpha in prop_oneof![(1_u32..999).prop_map(f64::from), 1e-3_f64..1e9],
        dropout in 0.0_f64..0.999,
        targets in prop::sample::subsequence(Target::ALL.to_vec(), 1..=7),
        has_score in any::<bool>(),
    ) {
        let expected = LoraShape::new(rank, alpha, dropout, targets).unwrap();
        let text = config_json(&expected, Some(Path::new("a/base")), has_score).to_string();
        prop_assert_eq!(shape(&serde_json::from_str(&text).unwrap()), Ok(expected));
    }
}
