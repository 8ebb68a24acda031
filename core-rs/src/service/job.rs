//! Work on a thread of its own, and the events by which it tells how it goes.

use super::event::{Event, Kind, Reply, panicked};
use super::frame::Frame;
use crate::cancel::Cancel;
use crate::{Error, Result};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

/// A producer waits while events of this many bytes are waiting to be taken. A lone event may be larger.
const QUEUE_BYTES: usize = 1 << 20;

#[derive(Default)]
struct State {
    events: VecDeque<Event>,
    /// Bytes of all waiting events.
    waiting: usize,
    /// The last event is in the queue or has been taken.
    ended: bool,
    closed: bool,
}

impl State {
    fn push(&mut self, event: Event) {
        self.waiting += event.bytes.len();
        self.events.push_back(event);
    }

    fn clear(&mut self) -> VecDeque<Event> {
        self.waiting = 0;
        std::mem::take(&mut self.events)
    }
}

/// One piece of work and its queue of events.
#[derive(Default)]
pub struct Job {
    cancel: Cancel,
    state: Mutex<State>,
    changed: Condvar,
}

impl Job {
    /// Runs work on a new thread. A panic of the work becomes its last event.
    pub fn spawn<W>(work: W) -> Arc<Self>
    where
        W: FnOnce(&Cancel, &mut dyn FnMut(Frame) -> Result<()>) -> Result<Reply> + Send + 'static,
    {
        let job = Arc::new(Self::default());
        let own = job.clone();
        let run = move || {
            let mut emit = |frame: Frame| own.emit(frame);
            let done = catch_unwind(AssertUnwindSafe(|| work(&own.cancel, &mut emit)));
            own.end(done.unwrap_or_else(|panic| Err(panicked(panic.as_ref()))));
        };
        if let Err(error) = std::thread::Builder::new().name("rmr1-job".into()).spawn(run) {
            job.end(Err(Error::Internal(format!("the system refused to start a thread: {error}"))));
        }
        job
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn emit(&self, frame: Frame) -> Result<()> {
        let event = Event::progress(&frame);
        let mut state = self.lock();
        while !state.ended && !state.events.is_empty() && state.waiting + event.bytes.len() > QUEUE_BYTES {
            state = self.changed.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
        if state.ended {
            return Err(Error::Cancelled);
        }
        state.push(event);
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    fn end(&self, reply: Result<Reply>) {
        let event = Event::last(reply);
        let mut state = self.lock();
        if !state.ended {
            state.ended = true;
            state.push(event);
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Waits for the next event and gives its kind and its size in bytes, without taking it.
    /// [`Error::Cancelled`] once the job is closed.
    pub fn poll(&self) -> Result<(Kind, usize)> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return Err(Error::Cancelled);
            }
            if let Some(event) = state.events.front() {
                return Ok((event.kind, event.bytes.len()));
            }
            if state.ended {
                return Ok((Kind::End, 0));
            }
            state = self.changed.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
    }

    /// Copies the next event out. [`Error::Input`], and nothing is taken, when there is none or `buffer` is not
    /// of its size.
    pub fn take(&self, buffer: &mut [u8]) -> Result<()> {
        let mut state = self.lock();
        let Some(event) = state.events.front_mut() else {
            return Err(Error::Input("No event is waiting to be taken".into()));
        };
        if event.bytes.len() != buffer.len() {
            return Err(Error::Input(format!(
                "A buffer of \"{}\" bytes was given for an event of {} bytes",
                buffer.len(),
                event.bytes.len()
            )));
        }
        buffer.copy_from_slice(&event.bytes);
        if let Some(grant) = event.grant.take() {
            grant.keep();
        }
        state.waiting -= buffer.len();
        state.events.pop_front();
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    /// Ends the job for its reader at once with the error [`Error::Cancelled`]; waiting events are dropped. The
    /// work stops at its next check.
    pub fn cancel(&self) {
        self.cancel.cancel();
        let mut state = self.lock();
        if !state.ended {
            drop(state.clear());
            state.ended = true;
            state.push(Event::last(Err(Error::Cancelled)));
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Cancels the job and wakes whoever waits for it; nothing can be read from it any more.
    pub fn close(&self) {
        self.cancel.cancel();
        let mut state = self.lock();
        (state.ended, state.closed) = (true, true);
        let dropped = state.clear();
        drop(state);
        self.changed.notify_all();
        // An answer that nobody took may own a large object: it is freed outside the lock.
        drop(dropped);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::sync::mpsc;
    use std::time::Duration;

    fn next(job: &Job) -> (Kind, serde_json::Value) {
        let (kind, size) = job.poll().unwrap();
        let mut buffer = vec![0; size];
        if kind == Kind::End {
            return (kind, json!(null));
        }
        job.take(&mut buffer).unwrap();
        (kind, Frame::decode(&buffer).unwrap().body)
    }

    fn number(i: usize) -> Frame {
        Frame::new(json!(i))
    }

    /// Work that goes on until it is told to stop, and then reports.
    fn endless() -> (Arc<Job>, mpsc::Receiver<()>) {
        let (stopped, report) = mpsc::channel();
        let job = Job::spawn(move |cancel, _| {
            while !cancel.is_cancelled() {
                std::thread::sleep(Duration::from_millis(1));
            }
            stopped.send(()).unwrap();
            Err(Error::Cancelled)
        });
        (job, report)
    }

    /// Polls on another thread; the channel tells what it found.
    fn poll_aside(job: &Arc<Job>) -> mpsc::Receiver<Result<(Kind, usize)>> {
        let (found, result) = mpsc::channel();
        let job = job.clone();
        std::thread::spawn(move || found.send(job.poll()));
        assert!(result.recv_timeout(Duration::from_millis(30)).is_err(), "the poll should be waiting");
        result
    }

    #[test]
    fn events_come_in_order_and_the_answer_comes_last() {
        let job = Job::spawn(|_, emit| {
            (0..100).try_for_each(|i| emit(number(i)))?;
            Ok(Reply::new(number(100)))
        });
        for i in 0..100 {
            assert_eq!(next(&job), (Kind::Progress, json!(i)));
        }
        assert_eq!(next(&job), (Kind::Done, json!(100)));
        assert_eq!(next(&job).0, Kind::End);
        assert_eq!(job.poll().unwrap(), (Kind::End, 0));
    }

    #[test]
    fn poll_and_a_refused_take_leave_the_event_where_it_is() {
        let job = Job::spawn(|_, _| Ok(Reply::new(number(7))));
        let first = job.poll().unwrap();
        assert_eq!(job.poll().unwrap(), first);
        let mut short = vec![0; first.1 - 1];
        assert!(job.take(&mut short).unwrap_err().to_string().contains(&format!("{} bytes", first.1)));
        assert_eq!(next(&job), (Kind::Done, json!(7)));
        assert!(job.take(&mut []).is_err());
    }

    #[test]
    fn errors_and_panics_are_last_events() {
        let job = Job::spawn(|_, emit| {
            emit(number(1))?;
            Err(Error::Input("Seed \"x\"".into()))
        });
        assert_eq!(next(&job).0, Kind::Progress);
        assert_eq!(next(&job), (Kind::Failed, json!({ "kind": "input", "message": "Seed \"x\"" })));
        let job = Job::spawn(|_, _| panic!("row {}", 3));
        let expected = json!({ "kind": "internal", "message": "Internal error: row 3" });
        assert_eq!(next(&job), (Kind::Failed, expected));
        assert_eq!(next(&job).0, Kind::End);
    }

    #[test]
    fn cancel_wakes_a_waiting_poll_and_stops_the_work() {
        let (job, stopped) = endless();
        let found = poll_aside(&job);
        job.cancel();
        let found = found.recv_timeout(Duration::from_secs(5)).unwrap();
        assert_eq!(found.unwrap().0, Kind::Failed);
        assert_eq!(next(&job).1["kind"], "cancelled");
        stopped.recv_timeout(Duration::from_secs(5)).unwrap();
        assert_eq!(next(&job).0, Kind::End);
    }

    #[test]
    fn close_wakes_a_waiting_poll_and_stops_the_work() {
        let (job, stopped) = endless();
        let found = poll_aside(&job);
        job.close();
        assert!(found.recv_timeout(Duration::from_secs(5)).unwrap().is_err());
        stopped.recv_timeout(Duration::from_secs(5)).unwrap();
        assert!(job.poll().is_err() && job.take(&mut []).is_err());
    }

    #[test]
    fn a_slow_reader_holds_the_producer_and_loses_nothing() {
        let (emitted, count) = mpsc::channel();
        let job = Job::spawn(move |_, emit| {
            for i in 0..8 {
                emit(number(i).with("bytes", vec![0u8; QUEUE_BYTES / 2 - 1024]))?;
                emitted.send(i).unwrap();
            }
            Ok(Reply::new(number(8)))
        });
        assert_eq!((count.recv().unwrap(), count.recv().unwrap()), (0, 1));
        assert!(count.recv_timeout(Duration::from_millis(30)).is_err(), "the third event should be waiting");
        for i in 0..8 {
            assert_eq!(next(&job), (Kind::Progress, json!(i)));
        }
        assert_eq!(next(&job), (Kind::Done, json!(8)));
    }

    #[test]
    fn an_event_above_the_bound_passes_alone() {
        let job = Job::spawn(|_, emit| {
            emit(number(0).with("bytes", vec![0u8; 2 * QUEUE_BYTES]))?;
            Ok(Reply::new(number(1)))
        });
        assert_eq!(next(&job).0, Kind::Progress);
        assert_eq!(next(&job).0, Kind::Done);
    }

    #[test]
    fn cancel_and_close_free_a_held_producer() {
        for free in [Job::cancel, Job::close] {
            let (ended, result) = mpsc::channel();
            let job = Job::spawn(move |_, emit| {
                let error = loop {
                    if let Err(error) = emit(number(0).with("bytes", vec![0u8; QUEUE_BYTES / 4])) {
                        break error;
                    }
                };
                ended.send(error.kind()).unwrap();
                Err(error)
            });
            assert!(result.recv_timeout(Duration::from_millis(30)).is_err(), "the producer should be held");
            free(&job);
            assert_eq!(result.recv_timeout(Duration::from_secs(5)).unwrap(), "cancelled");
        }
    }
}
