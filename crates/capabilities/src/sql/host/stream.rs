//! Rows as a stream of the component model, beside a future of how they ended.
//!
//! A guest may await the end of a statement without reading its rows (spin-sdk 6 and 7 do, after statements that
//! have none). So both read from [`Ahead`]: whoever is polled takes a bounded number of rows off the connection.

use super::super::{Error, Rows, Value};
use super::HasSql;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use wasmtime::component::{
    Accessor, Destination, FutureReader, Lift, Lower, StreamProducer, StreamReader, StreamResult, VecBuffer,
};
use wasmtime::{Result, StoreContextMut};

pub type Streamed<T> = StreamReader<T>;
/// What the guest awaits after the last row: whether it was the last because all were read.
pub type Ended<E> = FutureReader<std::result::Result<(), E>>;

/// Rows that are handed over at once, if they are there, and rows that are read before the guest wants them.
const BATCH: usize = 64;

/// The stream of `rows`, and the future of its end.
pub fn streamed<U, T, E>(
    accessor: &Accessor<U, HasSql>,
    rows: Rows,
    row: fn(Vec<Value>) -> T,
    error: fn(Error) -> E,
) -> Result<(Streamed<T>, Ended<E>)>
where
    U: 'static,
    T: Lower + Lift + Send + Sync + 'static,
    E: Lower + Lift + Send + Sync + 'static,
{
    let ahead =
        Ahead { rows, row, error, read: VecDeque::new(), end: None, over: false, waiting: [None, None] };
    let shared = Shared(Arc::new(Mutex::new(ahead)));
    let end = Shared(Arc::clone(&shared.0));
    let ended = std::future::poll_fn(move |cx| end.lock().poll_end(cx).map(wasmtime::error::Ok));
    let producer = Producer(shared);
    accessor.with(|mut access| {
        Ok((StreamReader::new(&mut access, producer)?, FutureReader::new(&mut access, ended)?))
    })
}

/// Rows that were read and are not handed over yet.
struct Ahead<T, E> {
    rows: Rows,
    row: fn(Vec<Value>) -> T,
    error: fn(Error) -> E,
    read: VecDeque<T>,
    /// For the future, once `over`.
    end: Option<std::result::Result<(), E>>,
    over: bool,
    /// Who is to be woken when there is news: the stream, the future.
    waiting: [Option<Waker>; 2],
}

const STREAM: usize = 0;
const FUTURE: usize = 1;

impl<T, E> Ahead<T, E> {
    /// Takes what has come, and wakes the `other` if that is news.
    fn read(&mut self, cx: &mut Context<'_>, other: usize) {
        let before = self.read.len();
        while self.read.len() < BATCH && !self.over {
            match self.rows.poll_next(cx) {
                Poll::Ready(Some(Ok(row))) => self.read.push_back((self.row)(row)),
                Poll::Ready(last) => {
                    self.over = true;
                    self.end = Some(last.map_or(Ok(()), |row| row.map(drop).map_err(self.error)));
                }
                Poll::Pending => break,
            }
        }
        if (self.over || self.read.len() > before)
            && let Some(other) = self.waiting[other].take()
        {
            other.wake();
        }
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<std::result::Result<(), E>> {
        self.read(cx, STREAM);
        if self.over {
            return Poll::Ready(self.end.take().unwrap_or(Ok(())));
        }
        self.waiting[FUTURE] = Some(cx.waker().clone());
        Poll::Pending
    }
}

struct Shared<T, E>(Arc<Mutex<Ahead<T, E>>>);

impl<T, E> Shared<T, E> {
    fn lock(&self) -> MutexGuard<'_, Ahead<T, E>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Producer<T, E>(Shared<T, E>);

impl<D, T, E> StreamProducer<D> for Producer<T, E>
where
    T: Lower + Send + Sync + 'static,
    E: Send + 'static,
{
    type Item = T;
    type Buffer = VecBuffer<T>;

    fn poll_produce<'a>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'a, D>,
        mut destination: Destination<'a, T, VecBuffer<T>>,
        finish: bool,
    ) -> Poll<Result<StreamResult>> {
        // A read of nothing asks whether there is something; rows cannot be put back.
        if destination.remaining(&mut store) == Some(0) {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let mut ahead = self.0.lock();
        ahead.read(cx, FUTURE);
        let batch: Vec<T> = ahead.read.drain(..).collect();
        let empty = batch.is_empty();
        if !empty {
            destination.set_buffer(batch.into());
        }
        match (ahead.over, empty) {
            (true, _) => Poll::Ready(Ok(StreamResult::Dropped)),
            (false, false) => Poll::Ready(Ok(StreamResult::Completed)),
            (false, true) if finish => Poll::Ready(Ok(StreamResult::Cancelled)),
            (false, true) => {
                ahead.waiting[STREAM] = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<T, E> Drop for Producer<T, E> {
    /// A guest that drops the stream has no need of an error, and none of the rows.
    fn drop(&mut self) {
        let mut ahead = self.0.lock();
        ahead.over = true;
        ahead.read.clear();
        if let Some(future) = ahead.waiting[FUTURE].take() {
            future.wake();
        }
    }
}
