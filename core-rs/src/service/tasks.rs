//! The service on a single thread: jobs advance when their events are asked for.

use super::dispatch::dispatch;
use super::event::{Event, Kind, Reply};
use super::frame::Frame;
use super::objects::Objects;
use super::slots::Slots;
use crate::cancel::Cancel;
use crate::turns::{Turns, turn};
use crate::{Error, Result};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

struct Task {
    cancel: Cancel,
    /// `None` once it has ended.
    work: RefCell<Option<Turns<'static, Result<Reply>>>>,
    events: Rc<RefCell<VecDeque<Event>>>,
}

/// All open objects, and jobs that take turns on the thread that this is on.
pub struct Tasks {
    objects: Arc<Objects>,
    tasks: RefCell<Slots<Rc<Task>>>,
}

impl Default for Tasks {
    fn default() -> Self {
        Self { objects: Arc::new(Objects::in_turns()), tasks: RefCell::default() }
    }
}

impl Tasks {
    fn task(&self, job: usize) -> Result<Rc<Task>> {
        self.tasks.borrow().get(job).cloned()
    }

    /// As [`super::Service::start`]; nothing is done before the first [`Tasks::advance`].
    pub fn start(&self, request: Vec<u8>) -> Result<usize> {
        let (objects, cancel) = (self.objects.clone(), Cancel::new());
        let events = Rc::new(RefCell::new(VecDeque::new()));
        let (flag, queue) = (cancel.clone(), events.clone());
        let work = async move {
            let mut emit = |frame: Frame| {
                queue.borrow_mut().push_back(Event::progress(&frame));
                Ok(())
            };
            dispatch(&objects, Frame::decode(&request)?, &flag, &mut emit).await
        };
        let task = Task { cancel, work: RefCell::new(Some(Box::pin(work))), events };
        self.tasks.borrow_mut().insert(Rc::new(task))
    }

    /// Tells what the job's next event is. Where none waits the job has a turn first.
    pub fn advance(&self, job: usize) -> Result<Kind> {
        let task = self.task(job)?;
        if task.events.borrow().is_empty() {
            let mut work = task.work.borrow_mut();
            let Some(going) = work.as_mut() else { return Ok(Kind::End) };
            if let Some(reply) = turn(going.as_mut()) {
                *work = None;
                task.events.borrow_mut().push_back(Event::last(reply));
            }
        }
        Ok(task.events.borrow().front().map_or(Kind::Working, |event| event.kind))
    }

    /// Takes the next event's bytes. [`Error::Input`] when none waits.
    pub fn take(&self, job: usize) -> Result<Vec<u8>> {
        let event = self.task(job)?.events.borrow_mut().pop_front();
        let event = event.ok_or_else(|| Error::Input("No event is waiting to be taken".into()))?;
        if let Some(grant) = event.grant {
            grant.keep();
        }
        Ok(event.bytes)
    }

    /// Ends the job with the error [`Error::Cancelled`]; waiting events are dropped.
    pub fn cancel(&self, job: usize) -> Result<()> {
        let task = self.task(job)?;
        task.cancel.cancel();
        if task.work.take().is_some() {
            task.events.replace(VecDeque::from([Event::last(Err(Error::Cancelled))]));
        }
        Ok(())
    }

    /// Drops the job. The id is stale from now on.
    pub fn close_job(&self, job: usize) -> Result<()> {
        self.tasks.borrow_mut().remove(job).map(drop)
    }

    /// See [`Objects::close`].
    pub fn close_handle(&self, handle: usize) -> Result<()> {
        self.objects.close(handle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::Service;
    use crate::tokenizer::tests::small_json;
    use serde_json::{Value, json};

    fn ask(tasks: &Tasks, request: &Frame) -> (Vec<Kind>, Vec<Frame>) {
        let job = tasks.start(request.encode()).unwrap();
        let (mut kinds, mut frames) = (Vec::new(), Vec::new());
        loop {
            let kind = tasks.advance(job).unwrap();
            kinds.push(kind);
            match kind {
                Kind::End => break,
                Kind::Working => {}
                _ => frames.push(Frame::decode(&tasks.take(job).unwrap()).unwrap()),
            }
        }
        tasks.close_job(job).unwrap();
        assert!(matches!(tasks.advance(job), Err(Error::Handle(_))));
        (kinds, frames)
    }

    fn init() -> Frame {
        let config = json!({
            "model_type": "llama", "vocab_size": 264, "hidden_size": 16, "intermediate_size": 24,
            "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
            "max_position_embeddings": 64, "tie_word_embeddings": true,
        });
        Frame::new(json!({
            "op": "init", "config": config, "tokenizer": small_json().to_string(), "chatTemplate": null, "seed": 1,
            "device": "cpu", "arithmetic": "exact", "precision": "f32",
        }))
    }

    fn model(tasks: &Tasks) -> usize {
        let (_, frames) = ask(tasks, &init());
        frames[0].body["model"].as_u64().unwrap_or_else(|| panic!("{}", frames[0].body)) as usize
    }

    fn generate(model: usize, rollouts: usize) -> Frame {
        let sampling = |i: usize| {
            json!({
                "maxTokens": 5, "temperature": 1.0, "topK": 0, "topP": 1.0, "minP": 0.0, "logitBias": [],
                "stop": [], "ignoreEos": true, "key": { "seed": 1, "step": 0, "prompt": 0, "rollout": i },
            })
        };
        let requests: Vec<Value> = (0..rollouts).map(sampling).collect();
        Frame::new(json!({ "op": "generate", "model": model, "requests": requests, "stream": true, "kvBytes": 1 << 20 }))
            .with("tokens", [3_u32, 4].repeat(rollouts))
            .with("lengths", vec![2_u32; rollouts])
    }

    /// The events of a job on a thread of its own.
    fn on_a_thread(service: &Service, request: &Frame) -> Vec<Vec<u8>> {
        let job = service.start(request.encode()).unwrap();
        let mut events = Vec::new();
        loop {
            let (kind, size) = service.poll(job).unwrap();
            if kind == Kind::End {
                return events;
            }
            events.push(vec![0; size]);
            service.take(job, events.last_mut().unwrap()).unwrap();
        }
    }

    #[test]
    fn jobs_take_turns_and_give_what_jobs_on_threads_give() {
        let tasks = Tasks::default();
        let request = generate(model(&tasks), 2);
        let (first, second) =
            (tasks.start(request.encode()).unwrap(), tasks.start(request.encode()).unwrap());
        let mut seen = [Vec::new(), Vec::new()];
        for _ in 0..100 {
            for (job, events) in [first, second].into_iter().zip(&mut seen) {
                if !matches!(tasks.advance(job).unwrap(), Kind::Working | Kind::End) {
                    events.push(tasks.take(job).unwrap());
                }
            }
        }
        assert_eq!(seen[0], seen[1]);
        // A step's tokens each, two ends, and the summary.
        let words = |event: &Vec<u8>| Frame::decode(event).unwrap().body.to_string();
        assert_eq!(seen[0].len(), 5 + 2 + 1, "{:?}", seen[0].iter().map(words).collect::<Vec<_>>());
        let service = Service::new();
        let opened = Frame::decode(&on_a_thread(&service, &init())[0]).unwrap();
        let model = opened.body["model"].as_u64().unwrap() as usize;
        assert_eq!(on_a_thread(&service, &generate(model, 2)), seen[0]);
    }

    #[test]
    fn a_cancelled_job_ends_with_that_error_and_frees_what_it_read() {
        let tasks = Tasks::default();
        let model = model(&tasks);
        let job = tasks.start(generate(model, 1).encode()).unwrap();
        while tasks.advance(job).unwrap() != Kind::Progress {}
        tasks.cancel(job).unwrap();
        assert_eq!(tasks.advance(job).unwrap(), Kind::Failed);
        let error = Frame::decode(&tasks.take(job).unwrap()).unwrap();
        assert_eq!(error.body["kind"], "cancelled");
        assert_eq!(tasks.advance(job).unwrap(), Kind::End);
        assert!(tasks.take(job).is_err());
        // The lock on the model is free again: a job may change it.
        let (kinds, _) = ask(&tasks, &Frame::new(json!({ "op": "add_score_head", "model": model })));
        assert_eq!(kinds, [Kind::Done, Kind::End]);
        tasks.close_handle(model).unwrap();
    }

    #[test]
    fn what_changes_a_model_waits_in_turns_until_nobody_reads_it() {
        let tasks = Tasks::default();
        let model = model(&tasks);
        let reading = tasks.start(generate(model, 1).encode()).unwrap();
        assert_eq!(tasks.advance(reading).unwrap(), Kind::Progress);
        let add = Frame::new(json!({ "op": "add_score_head", "model": model }));
        let changing = tasks.start(add.encode()).unwrap();
        let given_up = tasks.start(add.encode()).unwrap();
        for job in [changing, given_up, changing] {
            assert_eq!(tasks.advance(job).unwrap(), Kind::Working);
        }
        tasks.cancel(given_up).unwrap();
        while tasks.advance(reading).unwrap() != Kind::End {
            if tasks.advance(reading).unwrap() != Kind::Working {
                tasks.take(reading).unwrap();
            }
        }
        assert_eq!(tasks.advance(changing).unwrap(), Kind::Done);
        assert_eq!(tasks.advance(given_up).unwrap(), Kind::Failed);
    }

    #[test]
    fn a_malformed_request_is_the_jobs_error() {
        let (kinds, frames) = ask(&Tasks::default(), &Frame::new(json!({ "op": "fly" })));
        assert_eq!(kinds, [Kind::Failed, Kind::End]);
        assert_eq!(frames[0].body["kind"], "input");
    }
}
