//! Long work in turns: it gives way now and then, so that a single thread can hear of a cancellation, or do other
//! work, before it goes on.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

/// Work that borrows what it works on.
pub type Turns<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// Ends the turn; the work goes on in the next one.
pub async fn give_way() {
    let mut given = false;
    std::future::poll_fn(
        move |_| if std::mem::replace(&mut given, true) { Poll::Ready(()) } else { Poll::Pending },
    )
    .await;
}

/// One turn of the work. What it waits for is its next turn alone, so nothing needs to wake it.
pub fn turn<T>(work: Pin<&mut (impl Future<Output = T> + ?Sized)>) -> Option<T> {
    match work.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => Some(result),
        Poll::Pending => None,
    }
}

/// All turns, one after the other.
pub fn complete<T>(work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    loop {
        if let Some(result) = turn(work.as_mut()) {
            return result;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_goes_on_where_it_gave_way() {
        let mut seen = Vec::new();
        let mut work = Box::pin(async {
            for i in 0..3 {
                seen.push(i);
                give_way().await;
            }
            "done"
        });
        let turns = (0..4).map(|_| turn(work.as_mut())).collect::<Vec<_>>();
        assert_eq!(turns, [None, None, None, Some("done")]);
        drop(work);
        assert_eq!(seen, [0, 1, 2]);
        assert_eq!(complete(async { give_way().await }), ());
    }
}
