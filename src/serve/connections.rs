//! The limit of open connections. Who only waits makes room for who comes.
//! ```text
//! waiting     for a request, its first or its next, or in the TLS handshake: may be closed for another
//! answering   some of the answer is still to be handed over
//! answered    all of it is in the buffers of the connection; once they are flushed it is waiting again
//! ```

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

/// The open connections.
pub(super) struct Connections {
    /// How many may be open.
    most: usize,
    list: Mutex<List>,
    /// One has ended, or begun to wait.
    changed: Notify,
}

struct List {
    open: usize,
    /// The number of the next that begins to wait.
    next: u64,
    /// Those that wait, the longest first, each with what closes it.
    waiting: BTreeMap<u64, Arc<Notify>>,
}

impl Connections {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            list: Mutex::new(List {
                open: 0,
                next: 0,
                waiting: BTreeMap::new(),
            }),
            changed: Notify::new(),
        }
    }

    /// Admits a connection, once there is room for it. At the limit, the one that has been waiting longest is closed.
    /// For one caller at a time.
    pub(super) async fn admit(self: &Arc<Self>) -> Arc<Connection> {
        let mut has_closed = false;
        loop {
            {
                let mut list = lock(&self.list);
                if list.open < self.most {
                    list.open += 1;
                    let close = Arc::new(Notify::new());
                    let turn = list.wait(&close);
                    return Arc::new(Connection {
                        all: self.clone(),
                        state: Mutex::new(State::Waiting(turn)),
                        close,
                    });
                }
                if !has_closed && let Some((_, close)) = list.waiting.pop_first() {
                    close.notify_one();
                    has_closed = true;
                }
            }
            self.changed.notified().await;
        }
    }

    /// Closes all that wait.
    pub(super) fn close_waiting(&self) {
        for close in std::mem::take(&mut lock(&self.list).waiting).into_values() {
            close.notify_one();
        }
    }
}

impl List {
    fn wait(&mut self, close: &Arc<Notify>) -> u64 {
        let turn = self.next;
        self.next += 1;
        self.waiting.insert(turn, close.clone());
        turn
    }
}

/// An open connection, from its admission until the last of its clones is dropped.
pub(super) struct Connection {
    all: Arc<Connections>,
    /// Locked before the list.
    state: Mutex<State>,
    close: Arc<Notify>,
}

enum State {
    /// With its number in the list.
    Waiting(u64),
    Answering,
    Answered,
}

impl Connection {
    /// Completes when the connection is to be closed for another.
    pub(super) async fn closed(&self) {
        self.close.notified().await;
    }

    /// A request has come. `None` if the connection is being closed: then it is too late.
    pub(super) fn answering(self: &Arc<Self>) -> Option<Answering> {
        let mut state = lock(&self.state);
        if let State::Waiting(turn) = *state {
            lock(&self.all.list).waiting.remove(&turn)?;
        }
        *state = State::Answering;
        Some(Answering(self.clone()))
    }

    /// The buffers of the connection are empty.
    fn flushed(&self) {
        let mut state = lock(&self.state);
        if let State::Answered = *state {
            *state = State::Waiting(lock(&self.all.list).wait(&self.close));
            self.all.changed.notify_one();
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let state = lock(&self.state);
        let mut list = lock(&self.all.list);
        if let State::Waiting(turn) = *state {
            list.waiting.remove(&turn);
        }
        list.open -= 1;
        self.all.changed.notify_one();
    }
}

/// Held by an answer until all of it has been handed over.
pub(super) struct Answering(Arc<Connection>);

impl Drop for Answering {
    fn drop(&mut self) {
        *lock(&self.0.state) = State::Answered;
    }
}

/// No code panics while it holds one of these locks, so there is nothing to recover from.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The stream of a connection, which sees when its buffers are empty: hyper flushes a stream once it has written to it
/// all that it has, and a stream is flushed once the kernel has all.
pub(super) struct Watched<S> {
    pub(super) stream: S,
    pub(super) connection: Arc<Connection>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        if let Poll::Ready(Ok(())) = flushed {
            self.connection.flushed();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::Waker;

    use super::*;

    fn now<T>(future: impl Future<Output = T>) -> Option<T> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    fn is_closed(connection: &Connection) -> bool {
        now(connection.closed()).is_some()
    }

    #[test]
    fn who_has_waited_longest_makes_room() {
        let all = Arc::new(Connections::new(3));
        let [a, b, c] = [(); 3].map(|()| now(all.admit()).unwrap());
        // `a` waits again, so for the shortest time.
        drop(a.answering().unwrap());
        a.flushed();
        let mut admission = Box::pin(all.admit());
        let mut context = Context::from_waker(Waker::noop());
        assert!(admission.as_mut().poll(&mut context).is_pending());
        assert_eq!([&a, &b, &c].map(|one| is_closed(one)), [false, true, false]);
        // Its request comes too late, and nobody else is closed meanwhile.
        assert!(b.answering().is_none());
        assert!(admission.as_mut().poll(&mut context).is_pending());
        drop(b);
        let Poll::Ready(d) = admission.as_mut().poll(&mut context) else {
            panic!("there is room")
        };
        assert_eq!([&a, &c, &d].map(|one| is_closed(one)), [false; 3]);
    }

    #[test]
    fn an_answer_is_never_cut() {
        let all = Arc::new(Connections::new(1));
        let connection = now(all.admit()).unwrap();
        let answering = connection.answering().unwrap();
        let mut context = Context::from_waker(Waker::noop());
        let mut admission = Box::pin(all.admit());
        let mut is_cut = || {
            assert!(admission.as_mut().poll(&mut context).is_pending());
            is_closed(&connection)
        };
        assert!(!is_cut(), "while it is sent");
        connection.flushed();
        assert!(!is_cut(), "when a part of it is flushed");
        drop(answering);
        assert!(!is_cut(), "before the rest is flushed");
        let next = connection.answering().unwrap();
        connection.flushed();
        assert!(!is_cut(), "while the next is sent");
        drop(next);
        connection.flushed();
        assert!(is_cut());
    }
}
