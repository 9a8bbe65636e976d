//! What happens to a VM by time: ticks, and the end of a context that asked for time.

use super::slot::Slot;
use super::state::{After, State};
use super::vm::Step;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Starts, changes or ends the ticks that the guest asked for.
pub fn set(slot: &Arc<Slot>, state: &mut State, after: &After) {
    for (root_id, period) in &after.ticks {
        let Some(root) = state.roots.get_mut(root_id) else { continue };
        if let Some(ticker) = root.ticker.take() {
            ticker.abort();
        }
        if let Some(period) = period {
            let ticker = slot.runtime.spawn(tick(Arc::downgrade(slot), *root_id, *period));
            root.ticker = Some(ticker.abort_handle());
        }
    }
}

/// Ends with the VM.
async fn tick(slot: Weak<Slot>, root: u32, period: Duration) {
    loop {
        // From the end of one to the next: a guest that takes long gets fewer.
        tokio::time::sleep(period).await;
        let Some(slot) = slot.upgrade() else { return };
        if slot.call_in_background(|_| Step::Tick { root }, |_, _| ()).await.is_err() {
            return;
        }
    }
}

/// A context whose `on_done` returned false is deleted at the latest after the longest pause.
pub fn bound(slot: &Arc<Slot>, context: u32) {
    let slot = Arc::clone(slot);
    slot.runtime.clone().spawn(async move {
        tokio::time::sleep(slot.code.spec.pause).await;
        slot.background(Step::Delete { context });
    });
}
