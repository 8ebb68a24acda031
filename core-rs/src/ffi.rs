//! The C ABI: a thin door onto [`crate::service`]. It hands out ids and copies bytes; no pointer of the caller is
//! kept, and none into the core is given out.
//!
//! Every call answers a status: one of the `STATUS_` constants. Out-parameters are written only on [`STATUS_OK`].

use crate::Error;
use crate::service::{ABI_VERSION, Service, panicked};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;

/// Done.
pub const STATUS_OK: i32 = 0;
/// A null pointer, a buffer of another size than the event, nothing to take, or too many open jobs.
pub const STATUS_INPUT: i32 = 1;
/// A job or handle that is unknown or closed.
pub const STATUS_HANDLE: i32 = 2;
/// A fault of this library.
pub const STATUS_INTERNAL: i32 = 3;

static SERVICE: LazyLock<Service> = LazyLock::new(Service::new);

fn guard(work: impl FnOnce() -> crate::Result<()>) -> i32 {
    match catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(panicked(panic.as_ref()))) {
        Ok(()) => STATUS_OK,
        Err(Error::Handle(_)) => STATUS_HANDLE,
        Err(Error::Internal(_)) => STATUS_INTERNAL,
        Err(_) => STATUS_INPUT,
    }
}

fn refuse_null<T>(pointer: *const T) -> crate::Result<()> {
    if pointer.is_null() { Err(Error::Input("A pointer is null".into())) } else { Ok(()) }
}

/// The version of this door. Callers check it before anything else.
#[unsafe(no_mangle)]
pub extern "C" fn rmr1_abi_version() -> u32 {
    ABI_VERSION
}

/// Copies a request frame and starts it as a job, whose id goes to `out_job`. A malformed request is the job's error.
///
/// # Safety
/// `request` is readable for `length` bytes and `out_job` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmr1_job_start(request: *const u8, length: usize, out_job: *mut usize) -> i32 {
    guard(|| {
        refuse_null(request)?;
        refuse_null(out_job)?;
        // SAFETY: the caller promises that many readable bytes.
        let request = unsafe { std::slice::from_raw_parts(request, length) }.to_vec();
        let job = SERVICE.start(request)?;
        // SAFETY: the caller promises that it is writable.
        unsafe { out_job.write_unaligned(job) };
        Ok(())
    })
}

/// Waits for the job's next event and tells its kind (0 end, 1 progress, 2 done, 3 failed) and its size in bytes
/// without taking it. [`STATUS_HANDLE`] when the job is closed meanwhile. May be called from any thread.
///
/// # Safety
/// `out_kind` and `out_size` are writable until this returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmr1_job_poll(job: usize, out_kind: *mut u32, out_size: *mut usize) -> i32 {
    guard(|| {
        refuse_null(out_kind)?;
        refuse_null(out_size)?;
        let (kind, size) = SERVICE.poll(job)?;
        // SAFETY: the caller promises that both are writable.
        unsafe {
            out_kind.write_unaligned(kind as u32);
            out_size.write_unaligned(size);
        }
        Ok(())
    })
}

/// Copies the job's next event out and takes it from the queue. `length` is the size that poll told.
///
/// # Safety
/// `buffer` is writable for `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmr1_job_take(job: usize, buffer: *mut u8, length: usize) -> i32 {
    guard(|| {
        refuse_null(buffer)?;
        // SAFETY: the caller promises that many writable bytes; u8 has no invalid values.
        SERVICE.take(job, unsafe { std::slice::from_raw_parts_mut(buffer, length) })
    })
}

/// Ends the job with the error "cancelled", which wakes a waiting poll; the work stops at its next check.
#[unsafe(no_mangle)]
pub extern "C" fn rmr1_job_cancel(job: usize) -> i32 {
    guard(|| SERVICE.cancel(job))
}

/// Cancels the job, wakes a waiting poll and makes the id stale.
#[unsafe(no_mangle)]
pub extern "C" fn rmr1_job_close(job: usize) -> i32 {
    guard(|| SERVICE.close_job(job))
}

/// Closes a model or a tape. It is freed as soon as no job uses it.
#[unsafe(no_mangle)]
pub extern "C" fn rmr1_handle_close(handle: usize) -> i32 {
    guard(|| SERVICE.close_handle(handle))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::Frame;
    use serde_json::json;
    use std::ptr::null_mut;

    fn start(request: &[u8]) -> usize {
        let mut job = 0;
        // SAFETY: slice and out-parameter are live.
        assert_eq!(unsafe { rmr1_job_start(request.as_ptr(), request.len(), &mut job) }, STATUS_OK);
        job
    }

    fn next(job: usize) -> (u32, Frame) {
        let (mut kind, mut size) = (9, 9);
        // SAFETY: the out-parameters are live.
        assert_eq!(unsafe { rmr1_job_poll(job, &mut kind, &mut size) }, STATUS_OK);
        let mut buffer = vec![0; size];
        // SAFETY: the buffer is live.
        assert_eq!(unsafe { rmr1_job_take(job, buffer.as_mut_ptr(), size) }, STATUS_OK);
        (kind, Frame::decode(&buffer).unwrap())
    }

    #[test]
    fn a_request_goes_in_and_its_answer_comes_out() {
        let job = start(&Frame::new(json!({ "op": "set_threads", "threads": 1 })).encode());
        let (kind, frame) = next(job);
        assert_eq!(kind, 2);
        assert_eq!(frame.body["threads"], 1);
        assert_eq!(rmr1_job_close(job), STATUS_OK);
        assert_eq!(rmr1_job_close(job), STATUS_HANDLE);
    }

    #[test]
    fn bad_input_to_start_is_the_jobs_error() {
        for bytes in [&[][..], b"x", &Frame::new(json!({ "op": "fly" })).encode()] {
            let job = start(bytes);
            let (kind, frame) = next(job);
            assert_eq!((kind, &frame.body["kind"]), (3, &json!("input")));
            assert_eq!(rmr1_job_close(job), STATUS_OK);
        }
    }

    #[test]
    fn null_pointers_and_stale_handles_are_refused() {
        let (mut kind, mut size, mut job) = (0, 0, 0);
        // SAFETY: the call refuses null pointers before it reads or writes.
        unsafe {
            assert_eq!(rmr1_job_start(std::ptr::null(), 1, &mut job), STATUS_INPUT);
            assert_eq!(rmr1_job_start([0].as_ptr(), 1, null_mut()), STATUS_INPUT);
            assert_eq!(rmr1_job_poll(0, null_mut(), &mut size), STATUS_INPUT);
            assert_eq!(rmr1_job_poll(0, &mut kind, &mut size), STATUS_HANDLE);
            assert_eq!(rmr1_job_take(0, null_mut(), 1), STATUS_INPUT);
        }
        assert_eq!(rmr1_job_cancel(usize::MAX), STATUS_HANDLE);
        assert_eq!(rmr1_handle_close(0), STATUS_HANDLE);
    }

    #[test]
    fn a_panic_at_the_door_is_a_status() {
        assert_eq!(guard(|| panic!("at the door")), STATUS_INTERNAL);
    }
}
