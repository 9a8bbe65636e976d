//! A guest's handle on a database, and the task behind it that owns the connection meanwhile.

use super::pool::{Driver, Leased, Pool, Session};
use super::value::size;
use super::{Column, Error, RESULT_BYTES_MAX, STATEMENT_BYTES_MAX, Value};
use futures::task::AtomicWaker;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, Sleep};

/// Rows that wait for the guest may take so many bytes before the database is asked for more.
const WINDOW_BYTES: usize = 256 << 10;
/// Statements that wait for their turn on one handle: each holds its parameters in the host's memory.
const WAITING_MAX: usize = 16;
/// What the parameters of one statement may take.
const PARAMETER_BYTES_MAX: usize = RESULT_BYTES_MAX;
/// Rows between a driver and the task of its connection.
const ITEMS_MAX: usize = 32;

/// A handle; clones are the same handle. The connection goes back to its pool when the last one is dropped
/// and no rows are being read.
#[derive(Clone, Debug)]
pub struct Connection {
    commands: mpsc::Sender<Command>,
    numbers: Arc<Numbers>,
    waiting: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Numbers {
    rowid: AtomicI64,
    changes: AtomicU64,
}

/// What a finished statement did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Done {
    pub affected: u64,
    /// SQLite's row id of the last insertion.
    pub rowid: i64,
}

/// What a driver sends while a statement runs: the columns first.
pub(super) enum Item {
    Columns(Vec<Column>),
    Row(Vec<Value>),
}

#[derive(Debug)]
struct Command {
    statement: String,
    params: Vec<Value>,
    answer: Answer,
}

#[derive(Debug)]
enum Answer {
    Rows(oneshot::Sender<Result<Rows, Error>>),
    Done(oneshot::Sender<Result<Done, Error>>),
}

fn lost() -> Error {
    Error::Connection("the connection to the database was lost; open a new one".to_owned())
}

impl Connection {
    /// Runs a statement and returns its rows as they come.
    pub async fn query(&self, statement: String, params: Vec<Value>) -> Result<Rows, Error> {
        let (sender, receiver) = oneshot::channel();
        self.send(statement, params, Answer::Rows(sender)).await?;
        receiver.await.map_err(|_| lost())?
    }

    /// Runs a statement to its end; its rows are dropped.
    pub async fn execute(&self, statement: String, params: Vec<Value>) -> Result<Done, Error> {
        let (sender, receiver) = oneshot::channel();
        self.send(statement, params, Answer::Done(sender)).await?;
        receiver.await.map_err(|_| lost())?
    }

    async fn send(&self, statement: String, params: Vec<Value>, answer: Answer) -> Result<(), Error> {
        if statement.len() > STATEMENT_BYTES_MAX {
            return Err(Error::query(format!("a statement may have {STATEMENT_BYTES_MAX} bytes")));
        }
        if size(&params) > PARAMETER_BYTES_MAX {
            let mib = PARAMETER_BYTES_MAX >> 20;
            return Err(Error::Parameter(format!("the parameters are larger than {mib} MiB")));
        }
        let Ok(_place) = self.waiting.try_acquire() else {
            return Err(Error::Other(format!("{WAITING_MAX} statements wait on this connection already")));
        };
        self.commands.send(Command { statement, params, answer }).await.map_err(|_| lost())
    }

    pub fn last_insert_rowid(&self) -> i64 {
        self.numbers.rowid.load(Ordering::Acquire)
    }

    pub fn changes(&self) -> u64 {
        self.numbers.changes.load(Ordering::Acquire)
    }

    /// Takes a connection of the pool, on the runtime in which the caller is.
    pub(super) async fn open<D: Driver>(pool: Arc<Pool<D>>, limit: Duration) -> Result<Connection, Error> {
        let leased = pool.take().await?;
        // One: a guest that starts more statements at once waits.
        let (commands, receiver) = mpsc::channel(1);
        let numbers = Arc::new(Numbers::default());
        let waiting = Arc::new(Semaphore::new(WAITING_MAX));
        let connection = Connection { commands, numbers: Arc::clone(&numbers), waiting };
        tokio::spawn(serve(leased, receiver, numbers, limit));
        Ok(connection)
    }
}

/// The life of a leased connection.
async fn serve<D: Driver>(
    mut leased: Leased<D>,
    commands: mpsc::Receiver<Command>,
    numbers: Arc<Numbers>,
    limit: Duration,
) {
    let mut inbox = Inbox { commands, next: None, closed: false };
    while let Some(command) = inbox.take().await {
        let finished = run(leased.session(), command, &mut inbox, &numbers, limit).await;
        if !finished {
            return leased.cancel().await;
        }
        if !leased.session().usable() {
            return;
        }
        leased.proven();
    }
    leased.give_back().await;
}

/// Commands, with one that was seen while another ran.
struct Inbox {
    commands: mpsc::Receiver<Command>,
    next: Option<Command>,
    closed: bool,
}

impl Inbox {
    async fn take(&mut self) -> Option<Command> {
        match self.next.take() {
            Some(command) => Some(command),
            None => self.commands.recv().await,
        }
    }

    /// Whether another statement waits.
    fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        if self.next.is_none() && !self.closed {
            match self.commands.poll_recv(cx) {
                Poll::Ready(Some(command)) => self.next = Some(command),
                Poll::Ready(None) => self.closed = true,
                Poll::Pending => {}
            }
        }
        self.next.is_some()
    }
}

enum Event {
    /// Nobody wants the result any more.
    Gone,
    Item(Item),
    Ended(Result<Done, Error>),
    Timeout,
    /// All rows were passed on.
    Drained,
}

/// Runs one statement. `false`: it was given up in the middle.
async fn run<S: Session>(
    session: &mut S,
    command: Command,
    inbox: &mut Inbox,
    numbers: &Numbers,
    limit: Duration,
) -> bool {
    let (sink, mut items) = mpsc::channel(ITEMS_MAX);
    let mut output = Output::new(command.answer);
    let mut clock = Clock::new(limit);
    let mut running = pin!(session.run(command.statement, command.params, sink));
    let mut ended = None;
    loop {
        let event = poll_fn(|cx| {
            let another_waits = inbox.poll(cx);
            if output.poll_gone(cx, inbox.closed).is_ready() {
                return Poll::Ready(Event::Gone);
            }
            let room = output.poll_room(cx, another_waits);
            if room && let Poll::Ready(item) = items.poll_recv(cx) {
                match item {
                    Some(item) => return Poll::Ready(Event::Item(item)),
                    None if ended.is_some() => return Poll::Ready(Event::Drained),
                    None => {}
                }
            }
            if ended.is_none()
                && let Poll::Ready(result) = running.as_mut().poll(cx)
            {
                return Poll::Ready(Event::Ended(result));
            }
            if ended.is_none() && clock.poll(cx, room).is_ready() {
                return Poll::Ready(Event::Timeout);
            }
            Poll::Pending
        });
        match event.await {
            Event::Gone => return ended.is_some(),
            Event::Item(item) => {
                if let Err(error) = output.push(item) {
                    output.finish(Err(error));
                    return ended.is_some();
                }
            }
            Event::Timeout => {
                let text = format!("the statement was ended: it took longer than {limit:?}");
                output.finish(Err(Error::query(text)));
                return false;
            }
            Event::Ended(result) => {
                if let Ok(done) = &result {
                    numbers.rowid.store(done.rowid, Ordering::Release);
                    numbers.changes.store(done.affected, Ordering::Release);
                }
                ended = Some(result);
            }
            Event::Drained => {
                output.finish(ended.expect("rows are drained after the end"));
                return true;
            }
        }
    }
}

/// The statement's time, which does not run while the guest lets rows wait.
struct Clock {
    sleep: Pin<Box<Sleep>>,
    paused: Option<Instant>,
}

impl Clock {
    fn new(limit: Duration) -> Self {
        Clock { sleep: Box::pin(tokio::time::sleep(limit)), paused: None }
    }

    fn poll(&mut self, cx: &mut Context<'_>, running: bool) -> Poll<()> {
        if !running {
            self.paused.get_or_insert_with(Instant::now);
            return Poll::Pending;
        }
        if let Some(since) = self.paused.take() {
            let deadline = self.sleep.deadline() + since.elapsed();
            self.sleep.as_mut().reset(deadline);
        }
        self.sleep.as_mut().poll(cx)
    }
}

/// Bytes of rows that wait for the guest.
#[derive(Debug, Default)]
struct Window {
    bytes: AtomicUsize,
    waker: AtomicWaker,
}

/// Where a statement's result goes.
enum Output {
    /// Nothing was answered yet.
    Head(oneshot::Sender<Result<Rows, Error>>),
    Body {
        rows: mpsc::UnboundedSender<Result<Option<Vec<Value>>, Error>>,
        alive: oneshot::Sender<()>,
        window: Arc<Window>,
    },
    Done(oneshot::Sender<Result<Done, Error>>),
    /// The guest wants no more rows, but may want its connection, in the middle of a transaction perhaps. So
    /// many bytes are read in vain for that.
    Discarding(usize),
    Over,
}

impl Output {
    fn new(answer: Answer) -> Self {
        match answer {
            Answer::Rows(sender) => Output::Head(sender),
            Answer::Done(sender) => Output::Done(sender),
        }
    }

    /// Whether nobody wants the result any more, nor the connection.
    fn poll_gone(&mut self, cx: &mut Context<'_>, handle_dropped: bool) -> Poll<()> {
        match self {
            Output::Head(sender) => sender.poll_closed(cx),
            Output::Done(sender) => sender.poll_closed(cx),
            Output::Body { alive, .. } => {
                std::task::ready!(alive.poll_closed(cx));
                *self = Output::Discarding(RESULT_BYTES_MAX);
                if handle_dropped { Poll::Ready(()) } else { Poll::Pending }
            }
            Output::Discarding(_) if handle_dropped => Poll::Ready(()),
            Output::Discarding(_) => Poll::Pending,
            Output::Over => Poll::Ready(()),
        }
    }

    /// Whether rows may be taken from the database. If another statement waits for its turn, all may.
    fn poll_room(&self, cx: &mut Context<'_>, another_waits: bool) -> bool {
        let Output::Body { window, .. } = self else { return true };
        window.waker.register(cx.waker());
        another_waits || window.bytes.load(Ordering::Acquire) < WINDOW_BYTES
    }

    fn push(&mut self, item: Item) -> Result<(), Error> {
        match item {
            Item::Columns(columns) => self.start(columns),
            Item::Row(row) => {
                if let Output::Discarding(left) = self {
                    *left = left.checked_sub(size(&row)).ok_or_else(too_large)?;
                }
                let Output::Body { rows, window, .. } = self else { return Ok(()) };
                let bytes = size(&row);
                let before = window.bytes.fetch_add(bytes, Ordering::AcqRel);
                if before > RESULT_BYTES_MAX {
                    return Err(too_large());
                }
                // Where nobody receives, `poll_gone` says so next.
                let _ = rows.send(Ok(Some(row)));
            }
        }
        Ok(())
    }

    fn start(&mut self, columns: Vec<Column>) {
        if !matches!(self, Output::Head(_)) {
            return;
        }
        let Output::Head(sender) = std::mem::replace(self, Output::Over) else { return };
        let (rows, receiver) = mpsc::unbounded_channel();
        let (alive, here) = oneshot::channel();
        let window = Arc::new(Window::default());
        let answer = Rows { columns, receiver, window: Arc::clone(&window), _here: here, over: false };
        if sender.send(Ok(answer)).is_ok() {
            *self = Output::Body { rows, alive, window };
        }
    }

    fn finish(&mut self, result: Result<Done, Error>) {
        if result.is_ok() {
            self.start(Vec::new());
        }
        // Whoever went away meanwhile does not miss it.
        match std::mem::replace(self, Output::Over) {
            Output::Head(sender) => drop(sender.send(Err(result.err().unwrap_or_else(lost)))),
            Output::Body { rows, .. } => drop(rows.send(result.map(|_| None))),
            Output::Done(sender) => drop(sender.send(result)),
            Output::Discarding(_) | Output::Over => {}
        }
    }
}

fn too_large() -> Error {
    Error::Other(format!(
        "the result is larger than {} MiB; ask for fewer rows, or read them as a stream",
        RESULT_BYTES_MAX >> 20
    ))
}

/// The rows of a statement. Dropping it cancels the statement.
#[derive(Debug)]
pub struct Rows {
    pub columns: Vec<Column>,
    receiver: mpsc::UnboundedReceiver<Result<Option<Vec<Value>>, Error>>,
    window: Arc<Window>,
    _here: oneshot::Receiver<()>,
    over: bool,
}

impl Rows {
    /// The next row; `None` after the last one, or after an error.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Vec<Value>, Error>>> {
        if self.over {
            return Poll::Ready(None);
        }
        let received = std::task::ready!(self.receiver.poll_recv(cx));
        Poll::Ready(match received.unwrap_or_else(|| Err(lost())) {
            Ok(Some(row)) => {
                self.window.bytes.fetch_sub(size(&row), Ordering::AcqRel);
                self.window.waker.wake();
                Some(Ok(row))
            }
            Ok(None) => {
                self.over = true;
                None
            }
            Err(error) => {
                self.over = true;
                Some(Err(error))
            }
        })
    }

    pub async fn next(&mut self) -> Option<Result<Vec<Value>, Error>> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// All rows.
    ///
    /// # Errors
    ///
    /// If they are larger than a result may be, or if the database says something else than rows.
    pub async fn collect(mut self) -> Result<Vec<Vec<Value>>, Error> {
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while let Some(row) = self.next().await {
            let row = row?;
            bytes += size(&row);
            if bytes > RESULT_BYTES_MAX {
                return Err(too_large());
            }
            rows.push(row);
        }
        Ok(rows)
    }
}
