//! Rows as a stream of the component model.

use super::super::{Error, Rows, Value};
use super::HasSql;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::oneshot;
use wasmtime::component::{
    Accessor, Destination, FutureReader, Lift, Lower, StreamProducer, StreamReader, StreamResult, VecBuffer,
};
use wasmtime::{Result, StoreContextMut};

pub type Streamed<T> = StreamReader<T>;
/// What the guest awaits after the last row: whether it was the last because all were read.
pub type Ended<E> = FutureReader<std::result::Result<(), E>>;

/// Rows that are handed over at once, if they are there.
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
    let (sender, receiver) = oneshot::channel();
    let producer = Producer { rows, row, error, ended: Some(sender) };
    // A guest that drops the stream has no need of an error.
    let ended = async move { wasmtime::error::Ok(receiver.await.unwrap_or(Ok(()))) };
    accessor.with(|mut access| {
        Ok((StreamReader::new(&mut access, producer)?, FutureReader::new(&mut access, ended)?))
    })
}

struct Producer<T, E> {
    rows: Rows,
    row: fn(Vec<Value>) -> T,
    error: fn(Error) -> E,
    ended: Option<oneshot::Sender<std::result::Result<(), E>>>,
}

impl<D, T, E> StreamProducer<D> for Producer<T, E>
where
    T: Lower + Send + Sync + 'static,
    E: Send + 'static,
{
    type Item = T;
    type Buffer = VecBuffer<T>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'a, D>,
        mut destination: Destination<'a, T, VecBuffer<T>>,
        finish: bool,
    ) -> Poll<Result<StreamResult>> {
        // A read of nothing asks whether there is something; rows cannot be put back.
        if destination.remaining(&mut store) == Some(0) {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let mut batch = Vec::new();
        let mut over = false;
        while batch.len() < BATCH && !over {
            match self.rows.poll_next(cx) {
                Poll::Ready(Some(Ok(row))) => batch.push((self.row)(row)),
                Poll::Ready(last) => {
                    over = true;
                    let result = last.map_or(Ok(()), |row| row.map(drop).map_err(self.error));
                    if let Some(ended) = self.ended.take() {
                        // Where the guest has dropped the future, it does not want to know.
                        let _ = ended.send(result);
                    }
                }
                Poll::Pending => break,
            }
        }
        let empty = batch.is_empty();
        if !empty {
            destination.set_buffer(batch.into());
        }
        match (over, empty) {
            (true, _) => Poll::Ready(Ok(StreamResult::Dropped)),
            (false, false) => Poll::Ready(Ok(StreamResult::Completed)),
            (false, true) if finish => Poll::Ready(Ok(StreamResult::Cancelled)),
            (false, true) => Poll::Pending,
        }
    }
}
