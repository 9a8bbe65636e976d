//! Plain channels of Redis that trigger components. A message goes to whoever listens, so a channel is listened to
//! once, whatever the number of versions of the app that are about: a new version takes the listener over.

use sampan_app::{App, Broker};
use sampan_capabilities::http::Local;
use sampan_capabilities::messaging::Received;
use sampan_capabilities::messaging::channel::{Channel, listen};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The address, the channel's name, the component.
type Key = (String, String, String);

/// What one version of an app listens to.
#[derive(Clone, Default)]
pub struct Wanted(Arc<HashMap<Key, Channel>>);

impl Wanted {
    /// # Errors
    ///
    /// What is wrong with a trigger.
    pub fn of(app: &App) -> Result<Self, String> {
        let mut wanted = HashMap::new();
        for trigger in &app.topic_triggers {
            let Broker::RedisChannel { url } = &trigger.broker else { continue };
            let channel = Channel::new(url.reveal(), &trigger.topic)?;
            wanted
                .insert((url.reveal().to_owned(), trigger.topic.clone(), trigger.component.clone()), channel);
        }
        Ok(Wanted(Arc::new(wanted)))
    }
}

/// What is listened to for an app, in all of its versions.
#[derive(Default)]
pub struct Channels(Mutex<HashMap<Key, Listener>>);

struct Listener {
    /// For which version; the same value is the same version.
    wanted: Wanted,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Channels {
    /// Listens to what a version wants; what is listened to already is now for this version.
    pub fn start(&self, wanted: &Wanted, local: &Arc<Local>, guests: &Handle) {
        let mut listeners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, channel) in wanted.0.iter() {
            if let Some(listener) = listeners.get_mut(key) {
                listener.wanted = wanted.clone();
                continue;
            }
            let (stop, mut stopped) = watch::channel(false);
            let (channel, local, component) = (channel.clone(), Arc::clone(local), key.2.clone());
            let task = guests.spawn(async move {
                let handler = |message| hand_over(&local, &component, message);
                let stopped = async {
                    // The other side is gone: that is an end too.
                    let _ = stopped.wait_for(|stop| *stop).await;
                };
                listen(&channel, handler, stopped).await;
            });
            listeners.insert(key.clone(), Listener { wanted: wanted.clone(), stop, task });
        }
    }

    /// Takes no more messages for a version, unless another one has taken over. Resolves when those that have come
    /// are handled.
    pub fn stop(&self, wanted: &Wanted) -> impl Future<Output = ()> + Send + use<> {
        let mut listeners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ending = listeners.extract_if(|_, listener| Arc::ptr_eq(&listener.wanted.0, &wanted.0));
        let ending: Vec<Listener> = ending.map(|(_, listener)| listener).collect();
        for listener in &ending {
            listener.stop.send_replace(true);
        }
        async move {
            for listener in ending {
                // It has panicked, or its runtime has ended.
                let _ = listener.task.await;
            }
        }
    }
}

/// To the version of the component that is present. A message that it cannot handle is lost, as its log says.
async fn hand_over(local: &Local, component: &str, message: Received) {
    let receiver = local.receiver(component);
    let handled = match &receiver {
        Some(receiver) => receiver.receive(Arc::new(message)).await,
        None => None,
    };
    if handled.is_none() {
        eprintln!("warning: a message for component {component} is lost: it has no handler of messages");
    }
}
