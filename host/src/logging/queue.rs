//! The lines that wait for standard error, and the thread that writes them.
//!
//! `tracing-appender` has such a queue, but it bounds lines instead of bytes, does not report what
//! it dropped, and at exit complains on standard output, which may be blocked too.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};

/// Bytes of waiting lines at most, each counted with its overhead (invariant 9).
const MOST_BYTES: usize = 4 << 20;
const EACH: usize = 64;

/// Delay before a retry on a non-blocking stream that takes nothing at the moment.
const AGAIN: Duration = Duration::from_millis(10);

/// Interval at which the exit checks that all is written.
const LOOK: Duration = Duration::from_millis(2);

/// Lines on their way to a stream.
pub(super) struct Queue {
    lines: Sender<String>,
    state: Arc<QueueState>,
}

#[derive(Debug, Default)]
struct QueueState {
    /// Bytes of lines that are not written yet.
    bytes: AtomicUsize,
    /// Lines that are written or lost.
    written: AtomicU64,
    dropped: AtomicU64,
    /// Dropped lines that have not been reported yet.
    unsaid: AtomicU64,
}

impl Queue {
    /// Starts the thread. `say` reports a number of dropped lines; it may push lines.
    pub(super) fn start(
        out: impl Write + Send + 'static,
        say: impl Fn(u64) + Send + 'static,
    ) -> io::Result<Self> {
        let (lines, waiting) = unbounded();
        let state = Arc::<QueueState>::default();
        let shared = state.clone();
        std::thread::Builder::new()
            .name("log".into())
            .spawn(move || write_all(&waiting, out, &shared, say))?;
        Ok(Self { lines, state })
    }

    /// Queues a line; drops it if the queue is full. Does not block.
    pub(super) fn push(&self, line: String) {
        let bytes = line.len() + EACH;
        let before = self.state.bytes.fetch_add(bytes, Ordering::AcqRel);
        if before + bytes > MOST_BYTES {
            self.state.bytes.fetch_sub(bytes, Ordering::AcqRel);
            self.state.dropped.fetch_add(1, Ordering::Relaxed);
            self.state.unsaid.fetch_add(1, Ordering::Relaxed);
            return;
        }
        // The thread lives as long as the process.
        let _ = self.lines.send(line);
    }

    /// Queues a line even if the queue is full: for the few that explain the end of the process.
    pub(super) fn push_always(&self, line: String) {
        let bytes = line.len() + EACH;
        self.state.bytes.fetch_add(bytes, Ordering::AcqRel);
        let _ = self.lines.send(line);
    }

    /// Number of lines dropped so far.
    pub(super) fn dropped(&self) -> u64 {
        self.state.dropped.load(Ordering::Relaxed)
    }

    /// Waits until all lines are written, but no longer than `still` without progress, and
    /// `longest` in all.
    pub(super) fn flush(&self, still: Duration, longest: Duration) {
        let began = Instant::now();
        let (mut moved, mut seen) = (began, self.state.written.load(Ordering::Relaxed));
        while self.state.bytes.load(Ordering::Acquire) > 0
            && moved.elapsed() < still
            && began.elapsed() < longest
        {
            std::thread::sleep(LOOK);
            let written = self.state.written.load(Ordering::Relaxed);
            if written != seen {
                (moved, seen) = (Instant::now(), written);
            }
        }
    }
}

fn write_all(lines: &Receiver<String>, mut out: impl Write, state: &QueueState, say: impl Fn(u64)) {
    for line in lines {
        write_line(&mut out, line.as_bytes());
        state.written.fetch_add(1, Ordering::Relaxed);
        // One byte stays counted until the report, so that it finds room and `flush` waits for it.
        (state.bytes).fetch_sub(line.len() + EACH - 1, Ordering::AcqRel);
        let unsaid = state.unsaid.swap(0, Ordering::Relaxed);
        if unsaid > 0 {
            say(unsaid);
        }
        state.bytes.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Writes a line, retrying on a stream that does not block. A line that can't be written is lost.
fn write_line(out: &mut impl Write, mut line: &[u8]) {
    while !line.is_empty() {
        match out.write(line) {
            Ok(0) => return,
            Ok(written) => line = line.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Another process has set the shared stream to non-blocking.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(AGAIN),
            Err(_) => return,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {

    use parking_lot::{Condvar, Mutex};

    use super::*;

    /// A stream whose reader stands still until it is let go.
    #[derive(Clone, Default)]
    struct Stuck(Arc<Stream>);

    #[derive(Default)]
    struct Stream {
        /// Released or not, and the bytes written.
        taken: Mutex<(bool, Vec<u8>)>,
        changed: Condvar,
    }

    impl Stuck {
        fn let_go(&self) {
            self.0.taken.lock().0 = true;
            self.0.changed.notify_all();
        }

        fn text(&self) -> String {
            String::from_utf8(self.0.taken.lock().1.clone()).unwrap()
        }
    }

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut state = self.0.taken.lock();
            self.0.changed.wait_while(&mut state, |state| !state.0);
            // A pipe that has little room takes a part.
            let taken = bytes.len().min(1_000);
            state.1.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn queue(out: &Stuck) -> Arc<Queue> {
        let own = Arc::new(OnceQueue::default());
        let says = own.clone();
        let queue = Queue::start(out.clone(), move |dropped| {
            let queue = says.0.lock().clone().unwrap();
            queue.push(format!("{dropped} dropped\n"));
        });
        let queue = Arc::new(queue.unwrap());
        *own.0.lock() = Some(queue.clone());
        queue
    }

    #[derive(Default)]
    struct OnceQueue(Mutex<Option<Arc<Queue>>>);

    #[test]
    fn invariant_9_lines_beyond_the_bound_are_dropped_counted_and_said_where_they_are_missing() {
        let out = Stuck::default();
        let queue = queue(&out);
        let line = format!("{}\n", "x".repeat(9_999));
        for _ in 0..1_000 {
            queue.push(line.clone());
        }
        let kept = MOST_BYTES / (line.len() + EACH);
        assert_eq!(queue.dropped(), 1_000 - kept as u64);
        queue.push_always("the last word\n".into());
        out.let_go();
        queue.flush(Duration::from_secs(20), Duration::from_secs(20));
        queue.push("later\n".into());
        queue.flush(Duration::from_secs(20), Duration::from_secs(20));
        let text = out.text();
        let said = format!("{} dropped", queue.dropped());
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('x')).collect();
        assert_eq!(lines, ["the last word", &said, "later"]);
        assert_eq!(text.lines().count(), kept + 3);
    }

    #[test]
    fn the_end_does_not_wait_for_a_reader_that_takes_nothing() {
        let out = Stuck::default();
        let queue = queue(&out);
        queue.push("never read\n".into());
        let began = Instant::now();
        queue.flush(Duration::from_millis(20), Duration::from_secs(60));
        assert!(began.elapsed() < Duration::from_secs(30));
        out.let_go();
    }
}
