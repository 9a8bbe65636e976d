//! Templates in components' settings: `{uuid}`, `{appID}`, `{namespace}`, `{podName}`.
//!
//! <https://docs.dapr.io/operations/components/component-schema/#templated-metadata-values>

use super::{DaprComponent, MetadataValue};
use crate::Secret;
use std::hash::{BuildHasher, RandomState};

/// The variable of the environment with the name of this pod, as Dapr's sidecar has it.
const POD_NAME: &str = "POD_NAME";

/// A template that has no value here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the component `{component}` says {{podName}} in `{item}`, and {POD_NAME} is not set: set it in the environment"
)]
pub struct ExpandError {
    pub component: String,
    pub item: String,
}

impl DaprComponent {
    /// The component with its templates filled in.
    ///
    /// # Errors
    /// If it names the pod, and the environment does not.
    pub fn expand(&self, app_id: &str, namespace: &str) -> Result<DaprComponent, ExpandError> {
        let mut component = self.clone();
        for item in &mut component.metadata {
            let MetadataValue::Text(text) = &mut item.value else { continue };
            if !text.reveal().contains('{') {
                continue;
            }
            let mut filled = text.reveal().to_owned();
            // Each gets another one.
            while filled.contains("{uuid}") {
                filled = filled.replacen("{uuid}", &uuid(), 1);
            }
            if filled.contains("{podName}") {
                let Ok(pod) = std::env::var(POD_NAME) else {
                    return Err(ExpandError { component: self.name.clone(), item: item.name.clone() });
                };
                filled = filled.replace("{podName}", &pod);
            }
            // As Dapr has it, so that apps of a namespace do not share what it names.
            filled = filled.replace("{namespace}", &format!("{namespace}.{app_id}"));
            *text = Secret::new(filled.replace("{appID}", app_id));
        }
        Ok(component)
    }
}

/// A random UUID (RFC 9562, version 4).
fn uuid() -> String {
    // SipHash under a key of the operating system's.
    let random = RandomState::new();
    let bits = (u128::from(random.hash_one(0)) << 64) | u128::from(random.hash_one(1));
    let bits = (bits & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::super::MetadataItem;
    use super::*;

    #[test]
    fn templates_are_filled_in() {
        let component = DaprComponent {
            name: "pubsub".to_owned(),
            kind: "pubsub.redis".to_owned(),
            version: "v1".to_owned(),
            ignore_errors: false,
            init_timeout: super::super::component::INIT_TIMEOUT,
            metadata: ["{appID}", "{namespace}/x", "{uuid}{uuid}", "{other} {"]
                .map(|text| MetadataItem {
                    name: "consumerID".to_owned(),
                    value: MetadataValue::Text(Secret::new(text)),
                    line: 1,
                })
                .to_vec(),
            scopes: Vec::new(),
            secret_store: None,
            file: "x.yaml".into(),
            line: 1,
        };
        let expanded = component.expand("orders", "default").expect("no pod is named");
        let texts: Vec<&str> = expanded
            .metadata
            .iter()
            .map(|item| match &item.value {
                MetadataValue::Text(text) => text.reveal(),
                _ => panic!("a text stays one"),
            })
            .collect();
        assert_eq!(texts[0], "orders");
        assert_eq!(texts[1], "default.orders/x");
        assert_eq!(texts[3], "{other} {");
        let (first, second) = texts[2].split_at(36);
        for one in [first, second] {
            let shape: Vec<usize> = one.split('-').map(str::len).collect();
            assert_eq!(shape, [8, 4, 4, 4, 12], "{one}");
            assert_eq!(&one[14..15], "4", "{one}");
        }
        assert_ne!(first, second);
    }
}
