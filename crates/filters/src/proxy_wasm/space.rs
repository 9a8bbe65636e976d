//! What plug-ins of one `vm_id` share across workers and versions: data with compare-and-swap, and queues.
//!
//! A space lives as long as a plug-in of its id does, so that it survives an update: the new version is proven
//! before the old one goes.

use super::slot::Slot;
use super::values::{CAS_MISMATCH, EMPTY, INTERNAL, NOT_FOUND, OK, Status};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};

/// Bounds of one space: filters keep counters and small caches in it, not the clients' bodies.
const DATA_BYTES_MAX: usize = 16 << 20;
const DATA_ENTRIES_MAX: usize = 65_536;
const QUEUES_MAX: usize = 256;
const QUEUE_BYTES_MAX: usize = 4 << 20;
const QUEUE_ITEMS_MAX: usize = 16_384;
/// Of all queues together; an item counts for what it takes besides, too.
const QUEUED_BYTES_MAX: usize = 32 << 20;
const ITEM_BYTES: usize = 64;

type Name = (String, String);

/// By app and id. Numbers of queues are the process's, because a guest may resolve those of another id.
static SPACES: LazyLock<Mutex<HashMap<Name, Weak<Space>>>> = LazyLock::new(Mutex::default);

pub struct Space {
    name: Name,
    data: Mutex<Data>,
    queues: Mutex<HashMap<String, Arc<Queue>>>,
    /// In all of them.
    queued_bytes: Arc<AtomicUsize>,
}

#[derive(Default)]
struct Data {
    entries: HashMap<Vec<u8>, (Vec<u8>, u32)>,
    bytes: usize,
    /// Of the last change; never 0, which means "whatever it is".
    cas: u32,
}

pub struct Queue {
    pub id: u32,
    inner: Mutex<Waiting>,
    queued_bytes: Arc<AtomicUsize>,
}

#[derive(Default)]
struct Waiting {
    items: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Who registered it, the last one last: a VM and its root context.
    registrants: Vec<(Weak<Slot>, u32)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Space {
    /// The space of an id, made where nobody has it.
    pub fn of(app: &str, vm_id: &str) -> Arc<Space> {
        let name = (app.to_owned(), vm_id.to_owned());
        let mut spaces = lock(&SPACES);
        if let Some(space) = spaces.get(&name).and_then(Weak::upgrade) {
            return space;
        }
        let space = Arc::new(Space {
            name: name.clone(),
            data: Mutex::default(),
            queues: Mutex::default(),
            queued_bytes: Arc::default(),
        });
        spaces.insert(name, Arc::downgrade(&space));
        space
    }

    /// The space of another id of the same app; an empty one means this.
    pub fn other(self: &Arc<Self>, vm_id: &str) -> Option<Arc<Space>> {
        if vm_id.is_empty() || vm_id == self.name.1 {
            return Some(Arc::clone(self));
        }
        lock(&SPACES).get(&(self.name.0.clone(), vm_id.to_owned()))?.upgrade()
    }

    /// A value, and the number of its last change.
    pub fn get(&self, key: &[u8]) -> Option<(Vec<u8>, u32)> {
        lock(&self.data).entries.get(key).cloned()
    }

    /// With a number, only where that is the last change's.
    pub fn set(&self, key: &[u8], value: &[u8], cas: u32) -> Status {
        let mut data = lock(&self.data);
        let old = data.entries.get(key);
        if cas != 0 && old.is_some_and(|(_, current)| *current != cas) {
            return CAS_MISMATCH;
        }
        let old_len = old.map(|(value, _)| key.len() + value.len());
        let bytes = data.bytes - old_len.unwrap_or(0) + key.len() + value.len();
        if bytes > DATA_BYTES_MAX || (old_len.is_none() && data.entries.len() >= DATA_ENTRIES_MAX) {
            return INTERNAL;
        }
        data.bytes = bytes;
        data.cas = data.cas.checked_add(1).unwrap_or(1);
        let cas = data.cas;
        data.entries.insert(key.to_vec(), (value.to_vec(), cas));
        OK
    }

    /// Opens or makes a queue; whoever did so last is told what comes.
    pub fn register(&self, name: &str, slot: Weak<Slot>, root: u32) -> Option<u32> {
        let mut queues = lock(&self.queues);
        if !queues.contains_key(name) {
            if queues.len() >= QUEUES_MAX {
                return None;
            }
            let queue = Queue::new(&self.queued_bytes)?;
            queues.insert(name.to_owned(), queue);
        }
        let queue = &queues[name];
        let mut inner = lock(&queue.inner);
        inner
            .registrants
            .retain(|(other, at)| other.strong_count() > 0 && !(other.ptr_eq(&slot) && *at == root));
        inner.registrants.push((slot, root));
        Some(queue.id)
    }

    pub fn resolve(&self, name: &str) -> Option<u32> {
        lock(&self.queues).get(name).map(|queue| queue.id)
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let mut spaces = lock(&SPACES);
        // Another of the same name may have been made meanwhile.
        if spaces.get(&self.name).is_some_and(|space| space.strong_count() == 0) {
            spaces.remove(&self.name);
        }
    }
}

static QUEUES: LazyLock<Mutex<HashMap<u32, Weak<Queue>>>> = LazyLock::new(Mutex::default);

impl Queue {
    fn new(queued_bytes: &Arc<AtomicUsize>) -> Option<Arc<Queue>> {
        let mut queues = lock(&QUEUES);
        queues.retain(|_, queue| queue.strong_count() > 0);
        let id = queues.keys().max().copied().unwrap_or(0).checked_add(1)?;
        let queue = Arc::new(Queue { id, inner: Mutex::default(), queued_bytes: Arc::clone(queued_bytes) });
        queues.insert(id, Arc::downgrade(&queue));
        Some(queue)
    }

    pub fn find(id: u32) -> Option<Arc<Queue>> {
        lock(&QUEUES).get(&id)?.upgrade()
    }

    /// Whom to tell.
    pub fn push(&self, item: &[u8]) -> Result<Option<(Weak<Slot>, u32)>, Status> {
        let mut inner = lock(&self.inner);
        if inner.items.len() >= QUEUE_ITEMS_MAX || inner.bytes + item.len() > QUEUE_BYTES_MAX {
            return Err(INTERNAL);
        }
        let more = item.len() + ITEM_BYTES;
        if self.queued_bytes.fetch_add(more, Relaxed) + more > QUEUED_BYTES_MAX {
            self.queued_bytes.fetch_sub(more, Relaxed);
            return Err(INTERNAL);
        }
        inner.bytes += item.len();
        inner.items.push_back(item.to_vec());
        inner.registrants.retain(|(slot, _)| slot.strong_count() > 0);
        Ok(inner.registrants.last().cloned())
    }

    pub fn pop(&self) -> Result<Vec<u8>, Status> {
        let mut inner = lock(&self.inner);
        let item = inner.items.pop_front().ok_or(EMPTY)?;
        inner.bytes -= item.len();
        self.queued_bytes.fetch_sub(item.len() + ITEM_BYTES, Relaxed);
        Ok(item)
    }
}

/// A queue by its number, for a guest.
pub fn queue(id: u32) -> Result<Arc<Queue>, Status> {
    Queue::find(id).ok_or(NOT_FOUND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_needs_the_number_of_the_last_one() {
        let space = Space::of("app", "cas");
        assert_eq!(space.get(b"k"), None);
        // What is not there has no number yet: cpp-host lets any pass.
        assert_eq!(space.set(b"k", b"1", 7), OK);
        let (_, cas) = space.get(b"k").unwrap();
        assert_eq!(space.set(b"k", b"2", cas), OK);
        assert_eq!(space.set(b"k", b"3", cas), CAS_MISMATCH);
        assert_eq!(space.set(b"k", b"4", 0), OK);
        assert_eq!(space.get(b"k").unwrap().0, b"4");
    }

    #[test]
    fn a_space_is_its_ids_and_goes_with_its_last_user() {
        let one = Space::of("app", "one");
        assert_eq!(Space::of("app", "one").set(b"k", b"v", 0), OK);
        assert!(one.get(b"k").is_some());
        assert!(Space::of("other", "one").get(b"k").is_none());
        assert!(one.other("").is_some() && one.other("none").is_none());
        drop(one);
        assert!(Space::of("app", "one").get(b"k").is_none());
    }

    #[test]
    fn data_and_queues_are_bounded() {
        let space = Space::of("app", "bounds");
        let big = vec![0; DATA_BYTES_MAX / 2];
        assert_eq!(space.set(b"a", &big, 0), OK);
        assert_eq!(space.set(b"b", &big, 0), INTERNAL);
        assert_eq!(space.set(b"a", b"", 0), OK);
        assert_eq!(space.set(b"b", &big, 0), OK);
        let id = space.register("q", Weak::new(), 1).unwrap();
        assert_eq!(space.resolve("q"), Some(id));
        let found = queue(id).unwrap();
        for _ in 0..QUEUE_ITEMS_MAX {
            assert!(found.push(b"x").is_ok());
        }
        assert!(matches!(found.push(b"x"), Err(INTERNAL)));
        assert_eq!(found.pop(), Ok(b"x".to_vec()));
        assert!(found.push(b"x").is_ok());
        // All queues together: more of them are not more room.
        let item = vec![0; QUEUE_BYTES_MAX / 2];
        let queues: Vec<_> = (0..20)
            .map(|number| queue(space.register(&number.to_string(), Weak::new(), 1).unwrap()).unwrap())
            .collect();
        let taken = queues.iter().flat_map(|queue| [queue.push(&item), queue.push(&item)]);
        assert_eq!(taken.filter(Result::is_ok).count(), 15);
        assert!(queues[0].pop().is_ok() && queues[19].push(&item).is_ok());
    }
}
