use super::*;
use crate::Error;
use crate::cancel::Cancel;
use crate::forest::Forest;
use crate::generate::{DrawKey, Event, Options, Request};
use crate::tokenizer::tests::small_json;
use serde_json::{Value, json};
use std::sync::mpsc;
use std::time::Duration;

fn config() -> Value {
    json!({
        "model_type": "llama", "vocab_size": 264, "hidden_size": 16, "intermediate_size": 24,
        "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
        "max_position_embeddings": 64, "tie_word_embeddings": true, "bos_token_id": 0, "eos_token_id": 1,
    })
}

fn all(service: &Service, job: usize) -> Vec<(Kind, Frame)> {
    let mut events = Vec::new();
    loop {
        let (kind, size) = service.poll(job).unwrap();
        if kind == Kind::End {
            service.close_job(job).unwrap();
            return events;
        }
        let mut buffer = vec![0; size];
        service.take(job, &mut buffer).unwrap();
        events.push((kind, Frame::decode(&buffer).unwrap()));
    }
}

/// Runs a request to its end and gives the last event.
fn last(service: &Service, request: Frame) -> (Kind, Frame) {
    let job = service.start(request.encode()).unwrap();
    all(service, job).pop().unwrap()
}

fn ask(service: &Service, request: Frame) -> Frame {
    let (kind, frame) = last(service, request);
    assert_eq!(kind, Kind::Done, "{}", frame.body);
    frame
}

fn refusal(service: &Service, request: Frame) -> String {
    let (kind, frame) = last(service, request);
    assert_eq!(kind, Kind::Failed, "{}", frame.body);
    frame.body["message"].as_str().unwrap().to_owned()
}

fn model(service: &Service) -> usize {
    let request = json!({ "op": "init", "config": config(), "tokenizer": small_json().to_string(), "seed": 5, "device": "cpu", "arithmetic": "exact", "precision": "f32" });
    ask(service, Frame::new(request)).body["model"].as_u64().unwrap() as usize
}

fn forward(model: usize) -> Frame {
    let request =
        json!({ "op": "forward", "model": model, "temperature": 1, "entropy": true, "recompute": false });
    forest(request)
}

fn forest(request: Value) -> Frame {
    Frame::new(request)
        .with("tokens", vec![3u32, 4, 5, 6])
        .with("lengths", vec![2u32, 1, 1])
        .with("parents", vec![-1i32, 0, 0])
}

fn backward(model: usize, tape: &Value, weight: f32) -> Frame {
    Frame::new(json!({ "op": "backward", "model": model, "tape": tape }))
        .with("dLogprobs", vec![0.0f32, weight, weight, weight])
}

fn step(model: usize) -> Frame {
    Frame::new(json!({ "op": "step", "model": model, "learningRate": 0.01, "beta1": 0.9, "beta2": 0.99,
        "epsilon": 1e-8, "weightDecay": 0, "maxGradNorm": 1 }))
}

/// A request of five tokens, with some fields changed; `seed` is that of its draws.
fn rollout(change: Value) -> Value {
    let mut request = json!({ "maxTokens": 5, "temperature": 1, "topK": 0, "topP": 1, "minP": 0, "logitBias": [],
        "stop": [], "ignoreEos": true, "key": { "seed": 1, "step": 0, "prompt": 0, "rollout": 0 } });
    for (name, value) in change.as_object().unwrap() {
        match name.as_str() {
            "seed" => request["key"]["seed"] = value.clone(),
            _ => request[name] = value.clone(),
        }
    }
    request
}

/// Two requests of the same prompt.
fn generation(model: usize, requests: Value, stream: bool) -> Frame {
    Frame::new(json!({ "op": "generate", "model": model, "stream": stream, "requests": requests }))
        .with("tokens", vec![3u32, 4, 3, 4])
        .with("lengths", vec![2u32, 2])
}

fn logprobs(service: &Service, model: usize) -> Vec<f32> {
    ask(service, forest(json!({ "op": "logprobs", "model": model, "temperature": 1 })))
        .take("logprobs")
        .unwrap()
}

#[test]
fn a_training_step_raises_what_it_was_told_to_raise() {
    let service = Service::new();
    let model = model(&service);
    let before = logprobs(&service, model);
    let mut tape = ask(&service, forward(model));
    let from_tape: Vec<f32> = tape.take("logprobs").unwrap();
    assert_eq!(before[1..], from_tape[1..]);
    assert!(before[0].is_nan() && from_tape[0].is_nan());
    assert_eq!(tape.take::<f32>("entropies").unwrap().len(), 4);
    ask(&service, backward(model, &tape.body["tape"], -1.0));
    let norm: Vec<f64> = ask(&service, step(model)).take("gradNorm").unwrap();
    assert!(norm[0] > 0.0);
    let after = logprobs(&service, model);
    assert!(after[1..].iter().sum::<f32>() > before[1..].iter().sum::<f32>());
    let stale = refusal(&service, backward(model, &tape.body["tape"], -1.0));
    assert!(stale.contains("weights changed"), "{stale}");
}

#[test]
fn the_device_is_named() {
    let service = Service::new();
    let model = model(&service);
    let info = ask(&service, Frame::new(json!({ "op": "info", "model": model }))).body;
    assert!(info["backend"].as_str().unwrap().starts_with("cpu ("), "{info}");
}

#[test]
fn a_snapshot_stays_as_it_was() {
    let service = Service::new();
    let model = model(&service);
    let copy = ask(&service, Frame::new(json!({ "op": "snapshot", "model": model }))).body["model"].clone();
    let copy = copy.as_u64().unwrap() as usize;
    let before = logprobs(&service, copy);
    let tape = ask(&service, forward(model)).body["tape"].clone();
    let foreign = refusal(&service, backward(copy, &tape, 1.0));
    assert!(foreign.contains("of another model"), "{foreign}");
    ask(&service, backward(model, &tape, 1.0));
    ask(&service, step(model));
    assert_ne!(logprobs(&service, model)[1..], before[1..]);
    assert_eq!(logprobs(&service, copy)[1..], before[1..]);
}

#[test]
fn generation_streams_tokens_and_tells_each_end() {
    let service = Service::new();
    let model = model(&service);
    let request =
        |stream: bool| generation(model, json!([rollout(json!({})), rollout(json!({ "seed": 2 }))]), stream);
    let mut streamed = [Vec::new(), Vec::new()];
    let mut finished = [Vec::new(), Vec::new()];
    for (kind, mut frame) in all(&service, service.start(request(true).encode()).unwrap()) {
        if let Some(done) = frame.body.get("done").and_then(Value::as_u64) {
            assert_eq!((kind, &frame.body["finish"]), (Kind::Progress, &json!("length")));
            finished[done as usize] = frame.take::<u32>("tokens").unwrap();
        } else if kind == Kind::Progress {
            let requests: Vec<u32> = frame.take("requests").unwrap();
            for (r, token) in requests.into_iter().zip(frame.take::<u32>("tokens").unwrap()) {
                streamed[r as usize].push(token);
            }
        }
    }
    assert_eq!(streamed, finished);
    assert_eq!(finished.each_ref().map(Vec::len), [5, 5]);
    assert_ne!(finished[0], finished[1]);
    let quiet = all(&service, service.start(request(false).encode()).unwrap());
    assert_eq!(quiet.len(), 3);
    assert_eq!(quiet[2].0, Kind::Done);
    let summary = &quiet[2].1.body;
    assert_eq!((&summary["waited"], &summary["prefilled"]), (&json!(0), &json!(2)));
    assert!(
        summary["kvPeak"].as_u64().unwrap() > 0 && summary["kvBudget"].as_u64() > summary["kvPeak"].as_u64()
    );
}

#[test]
fn a_wrong_request_is_named_by_its_index() {
    let service = Service::new();
    let model = model(&service);
    let refused = |change: Value| {
        refusal(&service, generation(model, json!([rollout(json!({})), rollout(change)]), false))
    };
    for (change, words) in [
        (json!({ "minP": 1.5 }), "min_p is \"1.5\", expected a number from 0 to 1"),
        (json!({ "logitBias": [[264, 1]] }), "logit_bias names token \"264\", expected an id below 264"),
        (json!({ "logitBias": [[3, 1e39]] }), "logit_bias of token 3 is \"inf\""),
        (json!({ "maxTokens": -1 }), "`-1`, expected usize"),
        (json!({ "seed": -1 }), "`-1`, expected u64"),
        (json!({ "colour": "red" }), "unknown field `colour`"),
    ] {
        let found = refused(change);
        assert!(found.starts_with("Request 1") && found.contains(words), "{found}");
    }
    let banned: Vec<Value> = (0..264).map(|t| json!([t, null])).collect();
    assert!(refused(json!({ "logitBias": banned })).contains("all \"264\" tokens are banned"));
    let mut small = generation(model, json!([rollout(json!({})), rollout(json!({}))]), false);
    small.body["kvBytes"] = json!(1000);
    let found = refusal(&service, small);
    assert!(found.starts_with("Request 0: ") && found.contains("the budget of 1000"), "{found}");
}

#[test]
fn generation_can_be_cancelled_while_requests_wait() {
    let service = Service::new();
    let model = model(&service);
    let long: Vec<Value> = (0..50).map(|_| rollout(json!({ "maxTokens": 60 }))).collect();
    let mut request = generation(model, json!([]), true);
    request.body["requests"] = json!(long);
    request.body["kvBytes"] = json!(2 * 2 * 2 * 16 * 64 * 4);
    let request =
        Frame::new(request.body).with("tokens", [3u32, 4].repeat(50)).with("lengths", vec![2u32; 50]);
    let job = service.start(request.encode()).unwrap();
    let (kind, size) = service.poll(job).unwrap();
    assert_eq!(kind, Kind::Progress);
    service.take(job, &mut vec![0; size]).unwrap();
    service.cancel(job).unwrap();
    let (kind, last) = all(&service, job).pop().unwrap();
    assert_eq!((kind, &last.body["kind"]), (Kind::Failed, &json!("cancelled")));
    // The model is free again.
    ask(&service, Frame::new(json!({ "op": "add_score_head", "model": model })));
}

#[test]
fn texts_become_tokens_and_texts_again() {
    let service = Service::new();
    let model = model(&service);
    let texts = json!(["hello 12", "", "<|start|>ä"]);
    let request = json!({ "op": "encode", "model": model, "texts": texts });
    let mut encoded = ask(&service, Frame::new(request));
    let lengths: Vec<u32> = encoded.take("lengths").unwrap();
    assert_eq!(lengths[1], 0);
    let decode = Frame::new(json!({ "op": "decode", "model": model, "keepSpecial": true }))
        .with("tokens", encoded.take::<u32>("tokens").unwrap())
        .with("lengths", lengths);
    assert_eq!(ask(&service, decode).body["texts"], texts);
}

#[test]
fn what_does_not_belong_is_refused() {
    let service = Service::new();
    let model = model(&service);
    let unknown = Frame::new(json!({ "op": "info", "model": model, "colour": "red" }));
    assert!(refusal(&service, unknown).contains("colour"));
    let superfluous = Frame::new(json!({ "op": "info", "model": model })).with("tokens", vec![1u32]);
    assert!(refusal(&service, superfluous).contains("\"tokens\" does not belong"));
    let short = Frame::new(json!({ "op": "decode", "model": model, "keepSpecial": true }))
        .with("tokens", vec![1u32, 2])
        .with("lengths", vec![1u32]);
    assert!(refusal(&service, short).contains("add up to \"1\""));
    let tape = ask(&service, forward(model)).body["tape"].clone();
    assert!(refusal(&service, Frame::new(json!({ "op": "info", "model": tape }))).contains("is a tape"));
    let large = json!({ "op": "init", "config": config(), "tokenizer": small_json().to_string(), "seed": -1, "device": "cpu", "arithmetic": "exact", "precision": "f32" });
    assert!(refusal(&service, Frame::new(large)).contains("-1"));
    let elsewhere = json!({ "op": "init", "config": config(), "seed": 1, "device": "tpu", "arithmetic": "exact", "precision": "f32" });
    assert!(refusal(&service, Frame::new(elsewhere)).contains("Device is \"tpu\""));
}

#[test]
fn a_closed_handle_is_an_error_even_when_its_place_is_used_again() {
    let service = Service::new();
    let first = model(&service);
    service.close_handle(first).unwrap();
    let second = model(&service);
    assert_ne!(first, second);
    let refused = refusal(&service, Frame::new(json!({ "op": "info", "model": first })));
    assert!(refused.contains(&first.to_string()), "{refused}");
    assert!(matches!(service.close_handle(first), Err(Error::Handle(_))));
}

#[test]
fn an_answer_that_nobody_takes_leaves_nothing_open() {
    let service = Service::new();
    let request = json!({ "op": "init", "config": config(), "seed": 1, "device": "cpu", "arithmetic": "exact", "precision": "f32" });
    let job = service.start(Frame::new(request).encode()).unwrap();
    service.poll(job).unwrap();
    assert_eq!(service.open(), (1, 1));
    service.close_job(job).unwrap();
    assert_eq!(service.open(), (0, 0));
}

#[test]
fn closing_a_job_ends_a_waiting_poll_with_a_stale_handle() {
    let service = Arc::new(Service::new());
    let (release, held) = mpsc::channel::<()>();
    let job = Job::spawn(move |_, _| {
        held.recv().unwrap();
        Err(Error::Cancelled)
    });
    let id = service.jobs().insert(job).unwrap();
    let (found, result) = mpsc::channel();
    let poller = service.clone();
    std::thread::spawn(move || found.send(poller.poll(id)));
    assert!(result.recv_timeout(Duration::from_millis(30)).is_err());
    service.close_job(id).unwrap();
    let polled = result.recv_timeout(Duration::from_secs(5)).unwrap();
    assert!(matches!(polled, Err(Error::Handle(handle)) if handle == id));
    release.send(()).unwrap();
}

#[test]
fn a_panic_while_a_model_changes_closes_it_to_further_use() {
    let service = Service::new();
    let handle = model(&service);
    let shared = service.objects.model(handle).unwrap();
    let job = Job::spawn(move |_, _| {
        let _guard = shared.write().unwrap();
        panic!("half way");
    });
    assert_eq!(job.poll().unwrap().0, Kind::Failed);
    let refused = refusal(&service, Frame::new(json!({ "op": "info", "model": handle })));
    assert!(refused.contains("load it again"), "{refused}");
    service.close_handle(handle).unwrap();
}

#[test]
fn a_reader_that_waits_for_other_work_does_not_hold_the_only_thread() {
    let service = Service::new();
    let model = model(&service);
    ask(&service, Frame::new(json!({ "op": "set_threads", "threads": 1 })));
    let shared = service.objects.model(model).unwrap();
    let (found, result) = mpsc::channel();
    std::thread::spawn(move || {
        let request = Request {
            prompt: vec![3, 4],
            max_tokens: 3,
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            logit_bias: Vec::new(),
            stop: Vec::new(),
            ignore_eos: true,
            key: DrawKey::default(),
        };
        let mut events = 0;
        let mut sink = |_: Event| {
            let other = shared.clone();
            let scored = std::thread::spawn(move || {
                let forest = Forest::flat(&[vec![5, 6, 7]]).unwrap();
                other
                    .read()
                    .unwrap()
                    .language_model()
                    .logprobs(&forest, 1.0, None, &Cancel::new())
                    .unwrap()
                    .len()
            });
            assert_eq!(scored.join().unwrap(), 3);
            events += 1;
            Ok(())
        };
        let model = shared.read().unwrap();
        model.language_model().generate(&[request], &Options::default(), &Cancel::new(), &mut sink).unwrap();
        found.send(events)
    });
    assert_eq!(result.recv_timeout(Duration::from_secs(20)).unwrap(), 4);
}
