use proptest::prelude::*;

use super::*;

/// A small untied model: 2 layers, 4 query heads on 2 key/value heads of width 8, hidden size 24.
pub(crate) fn small() -> ModelConfig {
    ModelConfig {
        family: Family::Llama,
        vocab_size: 40,
        hidden_size: 24,
        intermediate_size: 32,
        num_layers: 2,
        num_heads: 4,
        num_kv_heads: 2,
        head_dim: 8,
        max_position: 64,
        rope_theta: 10_000.0,
        rope_scaling: RopeScaling::Default,
        rms_norm_eps: 1e-5,
        tie_word_embeddings: false,
        attention_bias: false,
        mlp_bias: false,
        bos_token_id: Some(0),
        eos_token_ids: vec![1],
        pad_token_id: None,
    }
}

fn parse(value: &Value) -> Result<ModelConfig> {
    ModelConfig::from_hf_json(Path::new("config.json"), value.to_string().as_bytes())
}

fn with(key: &str, value: Value) -> Value {
    let mut json = small().to_hf_json(Dtype::F32);
    json[key] = value;
    json
}

fn without(keys: &[&str]) -> Value {
    let mut json = small().to_hf_json(Dtype::F32);
    for key in keys {
        json.as_object_mut().unwrap().shift_remove(*key).unwrap();
    }
    json
}

#[test]
fn defaults_are_those_of_transformers() {
    let config = parse(&without(&[
        "num_key_value_heads",
        "head_dim",
        "max_position_embeddings",
        "rope_theta",
        "rope_parameters",
        "rms_norm_eps",
        "tie_word_embeddings",
        "bos_token_id",
        "eos_token_id",
        "pad_token_id",
    ]))
    .unwrap();
    assert_eq!((config.num_kv_heads, config.head_dim, config.max_position), (4, 6, 2048));
    assert_eq!((config.rope_theta, config.rms_norm_eps, config.tie_word_embeddings), (1e4, 1e-6, false));
    assert_eq!((config.bos_token_id, config.eos_token_ids, config.pad_token_id), (Some(1), vec![2], None));
}

#[test]
fn the_rotary_base_is_found_in_either_place() {
    let mut old = without(&["rope_parameters"]);
    old["rope_theta"] = json!(100_000);
    assert_eq!(parse(&old).unwrap().rope_theta, 1e5);
    let mut new = without(&["rope_theta"]);
    new["rope_parameters"]["rope_theta"] = json!(5e5);
    assert_eq!(parse(&new).unwrap().rope_theta, 5e5);
    let error = parse(&with("rope_theta", json!(5.0))).unwrap_err().to_string();
    assert!(error.contains("\"5\"") && error.contains("\"10000\""), "{error}");
}

#[test]
fn what_would_change_the_arithmetic_is_refused_by_key_value_and_file() {
    for (key, value, quoted) in [
        ("model_type", json!("gemma2"), "\"gemma2\""),
        ("layer_types", json!(["full_attention", "sliding_attention"]), "sliding_attention"),
        ("hidden_act", json!("gelu"), "\"gelu\""),
        ("quantization_config", json!({ "bits": 4 }), "\"{\"bits\":4}\""),
        ("rope_scaling", json!({ "type": "dynamic", "factor": 2.0 }), "\"dynamic\""),
        ("rope_scaling", json!({ "type": "linear", "rope_type": "yarn", "factor": 2.0 }), "\"yarn\""),
        ("rope_scaling", json!({ "type": "linear", "factor": 2.0 }), "Linear"),
        ("rope_scaling", json!({ "type": "default", "mrope_section": [1, 1, 2] }), "mrope_section"),
        ("rope_scaling", json!("linear"), "\"linear\""),
        ("rope_parameters", json!({ "rope_type": "linear" }), "factor is missing"),
        ("rope_parameters", json!({ "rope_type": "linear", "factor": -2.0 }), "\"-2\""),
        ("rope_parameters", json!({ "rope_type": "llama3", "factor": 8.0 }), "low_freq_factor"),
        ("rope_parameters", json!({ "rope_type": "yarn", "factor": 4.0, "finetuned": true }), "finetuned"),
        ("rope_parameters", json!({ "partial_rotary_factor": 0.5 }), "\"0.5\""),
        (
            "rope_parameters",
            json!({ "rope_type": "longrope", "attention_factor": 1.0, "short_factor": [1, 1, 1, 1],
                "long_factor": [1, 1, 1, 2] }),
            "the same",
        ),
        ("num_key_value_heads", json!(3), "\"3\""),
        ("head_dim", json!(7), "\"7\""),
        ("hidden_size", json!(-4), "\"-4\""),
        ("num_hidden_layers", json!(1u64 << 60), "1152921504606846976"),
        ("vocab_size", json!("many"), "\"many\""),
        ("eos_token_id", json!([1, 40]), "\"40\""),
        ("rms_norm_eps", json!(0.0), "\"0\""),
    ] {
        let error = parse(&with(key, value)).unwrap_err().to_string();
        assert!(error.contains("config.json") && error.contains(key) && error.contains(quoted), "{error}");
    }
    assert!(parse(&without(&["hidden_size"])).unwrap_err().to_string().contains("hidden_size is missing"));
}

#[test]
fn ends_of_sequence_are_merged() {
    let mut config = parse(&with("eos_token_id", json!([1, 5]))).unwrap();
    config.merge_generation_config(Path::new("g.json"), br#"{"eos_token_id": [5, 7]}"#).unwrap();
    assert_eq!(config.eos_token_ids, [1, 5, 7]);
    assert!(config.merge_generation_config(Path::new("g.json"), br#"{"eos_token_id": [true]}"#).is_err());
    assert_eq!(parse(&with("pad_token_id", json!(-1))).unwrap().pad_token_id, None);
}

/// What a `config.json` of the family needs, with `changes`.
fn of(family: Family, changes: &[(&str, Value)]) -> Result<ModelConfig> {
    let attention_bias = family == Family::Qwen2;
    let mut json = ModelConfig { family, attention_bias, ..small() }.to_hf_json(Dtype::F32);
    for (key, value) in changes {
        json[key] = value.clone();
    }
    parse(&json)
}

#[test]
fn families_have_the_biases_and_norms_that_transformers_gives_them() {
    let parts = |family: Family, changes: &[(&str, Value)]| {
        let config = of(family, changes).unwrap();
        (config.attention_bias, config.output_bias(), config.mlp_bias, config.head_norms())
    };
    let both = [("attention_bias", json!(true)), ("mlp_bias", json!(true))];
    assert_eq!(parts(Family::Llama, &[]), (false, false, false, false));
    assert_eq!(parts(Family::Llama, &both), (true, true, true, false));
    assert_eq!(parts(Family::Qwen2, &[("attention_bias", Value::Null)]), (true, false, false, false));
    assert_eq!(parts(Family::Qwen3, &both[..1]), (true, true, false, true));
    assert_eq!(parts(Family::Mistral, &[]), (false, false, false, false));
    for (family, key, value) in [
        (Family::Qwen2, "attention_bias", false),
        (Family::Mistral, "attention_bias", true),
        (Family::Qwen3, "mlp_bias", true),
    ] {
        let error = of(family, &[(key, json!(value))]).unwrap_err().to_string();
        assert!(error.contains(key) && error.contains(&format!("\"{value}\"")), "{error}");
    }
}

#[test]
fn a_qwen3_has_its_own_defaults() {
    let mut json = ModelConfig { family: Family::Qwen3, num_heads: 64, ..small() }.to_hf_json(Dtype::F32);
    for key in ["num_key_value_heads", "head_dim", "max_position_embeddings", "bos_token_id", "eos_token_id"]
    {
        json.as_object_mut().unwrap().shift_remove(key).unwrap();
    }
    let config = parse(&json).unwrap();
    assert_eq!((config.num_kv_heads, config.head_dim, config.max_position), (32, 128, 32_768));
    assert_eq!((config.bos_token_id, config.eos_token_ids), (None, vec![]));
}

#[test]
fn windows_are_refused_where_they_would_hide_something() {
    let slides = ("use_sliding_window", json!(true));
    let window = |size: usize| ("sliding_window", json!(size));
    let layers = |first: usize| ("max_window_layers", json!(first));
    for (family, changes, fits) in [
        (Family::Qwen2, vec![window(16), layers(0)], true),
        (Family::Qwen2, vec![slides.clone(), window(16), layers(0)], false),
        (Family::Qwen2, vec![slides.clone(), window(64), layers(0)], true),
        (Family::Qwen3, vec![slides.clone(), window(63), layers(1)], false),
        (Family::Qwen3, vec![slides.clone(), window(63), layers(2)], true),
        (Family::Qwen3, vec![("layer_types", json!(["full_attention", "full_attention"]))], true),
        (Family::Mistral, vec![window(63)], false),
        (Family::Mistral, vec![window(64)], true),
        (Family::Llama, vec![window(16)], true),
    ] {
        let read = of(family, &changes);
        assert_eq!(read.is_ok(), fits, "{family:?} with {changes:?}");
        if let Err(error) = read {
            assert!(error.to_string().contains("sliding_window is"), "{error}");
        }
    }
    let mut json =
        ModelConfig { family: Family::Mistral, max_position: 8192, ..small() }.to_hf_json(Dtype::F32);
    assert!(parse(&json).is_ok());
    json.as_object_mut().unwrap().shift_remove("sliding_window").unwrap();
    assert!(parse(&json).unwrap_err().to_string().contains("\"4096\""));
}

#[test]
fn scaling_is_found_in_either_place_and_spelling() {
    let yarn = |factor: f64, original: usize| RopeScaling::Yarn(Yarn::new(factor, original));
    let bare = without(&["rope_parameters"]);
    for (key, value, scaling) in [
        ("rope_scaling", json!({ "type": "linear", "factor": 2 }), RopeScaling::Linear { factor: 2.0 }),
        (
            "rope_parameters",
            json!({ "rope_type": "linear", "factor": 2.0 }),
            RopeScaling::Linear { factor: 2.0 },
        ),
        ("rope_scaling", json!({ "type": "yarn", "rope_type": "yarn", "factor": 4.0 }), yarn(4.0, 64)),
        (
            "rope_scaling",
            json!({ "type": "yarn", "factor": null, "original_max_position_embeddings": 16, "beta_fast": 0 }),
            yarn(4.0, 16),
        ),
        ("rope_scaling", json!({}), RopeScaling::Default),
    ] {
        let mut json = bare.clone();
        json[key] = value;
        assert_eq!(parse(&json).unwrap().rope_scaling, scaling, "{json}");
    }
    let mut json = bare;
    json["rope_scaling"] = json!({ "type": "yarn", "factor": 2.0, "original_max_position_embeddings": 32 });
    json["original_max_position_embeddings"] = json!(8);
    assert_eq!(parse(&json).unwrap().rope_scaling, yarn(2.0, 8));
}

fn any_scaling() -> impl Strategy<Value = RopeScaling> {
    let original = 1usize..100_000;
    let some = || prop::option::of(0.1f64..3.0);
    let yarn =
        (1.0f64..64.0, original.clone(), (2.0f64..64.0, 0.1f64..2.0), some(), some(), some(), any::<bool>());
    prop_oneof![
        Just(RopeScaling::Default),
        (0.1f64..100.0).prop_map(|factor| RopeScaling::Linear { factor }),
        (1.0f64..64.0, 0.1f64..2.0, 2.1f64..9.0, original).prop_map(|(factor, low, high, original)| {
            RopeScaling::Llama3 {
                factor,
                low_freq_factor: low,
                high_freq_factor: high,
                original_max_position: original,
            }
        }),
        yarn.prop_map(
            |(factor, original_max_position, (beta_fast, beta_slow), attention_factor, a, b, truncate)| {
                RopeScaling::Yarn(Yarn {
                    factor,
                    original_max_position,
                    beta_fast,
                    beta_slow,
                    attention_factor,
                    mscale: a,
                    mscale_all_dim: b,
                    truncate,
                })
            }
        ),
        prop::collection::vec(0.5f64..64.0, 4).prop_map(RopeScaling::Divisors),
    ]
}

proptest! {
    #[test]
    fn scaled_frequencies_lie_between_the_plain_and_the_divided(scaling in any_scaling(), theta in 2.0f64..1e6) {
        let factor = match &scaling {
            RopeScaling::Default | RopeScaling::Divisors(_) => 1.0,
            RopeScaling::Linear { factor } | RopeScaling::Llama3 { factor, .. } => *factor,
            RopeScaling::Yarn(yarn) => yarn.factor,
        };
        let plain = RopeScaling::Default.rotary(theta, 8).frequencies;
        let scaled = scaling.rotary(theta, 8).frequencies;
        if let RopeScaling::Divisors(divisors) = &scaling {
            let products: Vec<f64> = scaled.iter().zip(divisors).map(|(f, d)| f * d).collect();
            prop_assert!(products.iter().zip(&plain).all(|(a, b)| (a / b - 1.0).abs() < 1e-12));
        } else {
            for (scaled, plain) in scaled.iter().zip(&plain) {
                let (low, high) = (plain.min(plain / factor), plain.max(plain / factor));
                prop_assert!((low * 0.999_999..=high * 1.000_001).contains(scaled), "{scaled} of {plain} by {factor}");
            }
        }
    }

    #[test]
    fn llama3_is_found_again_in_its_divisors(factor in 1.5f64..64.0, base in 1e4f64..1e6, by in 1.001f64..1.1) {
        let llama3 = |factor: f64| RopeScaling::Llama3 {
            factor,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position: 8192,
        };
        let plain = RopeScaling::Default.rotary(base, 128).frequencies;
        let scaled = llama3(factor).rotary(base, 128).frequencies;
        // As the converter stores them.
        let stored = plain.iter().zip(&scaled).map(|(f, g)| f64::from((f / g) as f32));
        let mut divisors: Vec<f64> = stored.collect();
        let rounded = divisors.iter().copied().fold(1.0, f64::max);
        prop_assert_eq!(RopeScaling::from_divisors(divisors.clone(), base, 128), llama3(rounded));
        divisors[3] *= by;
        prop_assert_eq!(
            RopeScaling::from_divisors(divisors.clone(), base, 128),
            RopeScaling::Divisors(divisors)
        );
    }

    #[test]
    fn a_factor_of_one_scales_nothing(original in 1usize..100_000, theta in 2.0f64..1e6) {
        let plain = RopeScaling::Default.rotary(theta, 8);
        let llama3 = RopeScaling::Llama3 {
            factor: 1.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position: original,
        };
        for scaling in [llama3, RopeScaling::Linear { factor: 1.0 }, RopeScaling::Yarn(Yarn::new(1.0, original))] {
            let Rotary { frequencies, scale } = scaling.rotary(theta, 8);
            prop_assert_eq!(scale, 1.0);
            prop_assert!(frequencies.iter().zip(&plain.frequencies).all(|(a, b)| (a / b - 1.0).abs() < 1e-12));
        }
    }

    #[test]
    fn writing_and_reading_gives_the_same_config(
        kv in 1usize..5, group in 1usize..5, half in 1usize..40, theta in 2.0f64..1e7, eps in 1e-12f64..1.0,
        tied in any::<bool>(), eos in prop::collection::vec(0u32..40, 0..3),
        family in prop::sample::select(Family::ALL.to_vec()), bias in any::<bool>(), rope_scaling in any_scaling()
    ) {
        let attention_bias = match family {
            Family::Llama | Family::Qwen3 => bias,
            Family::Mistral => false,
            Family::Qwen2 => true,
        };
        let divisors = matches!(rope_scaling, RopeScaling::Divisors(_));
        let config = ModelConfig {
            num_heads: kv * group, num_kv_heads: kv, head_dim: if divisors { 8 } else { 2 * half }, rope_theta: theta, rms_norm_eps: eps,
            tie_word_embeddings: tied, eos_token_ids: eos, family, attention_bias,
            mlp_bias: bias && family == Family::Llama, rope_scaling, ..small()
        };
        prop_assert_eq!(parse(&config.to_hf_json(Dtype::BF16)).unwrap(), config);
    }

    #[test]
    fn damaged_json_never_panics(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = small().to_hf_json(Dtype::F32).to_string().into_bytes();
        let at = at.index(bytes.len());
        prop_assert!(ModelConfig::from_hf_json(Path::new("c"), &bytes[..at]).is_err());
        bytes[at] = byte;
        if let Ok(config) = ModelConfig::from_hf_json(Path::new("c"), &bytes) {
            prop_assert!(config.validate().is_ok());
        }
    }
}
