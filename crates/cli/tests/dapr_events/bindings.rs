//! Input bindings: the time comes to the app.

use super::{App, Sampan};
use sampan_testing::Response;

#[test]
fn cron_calls_the_app_where_its_name_or_route_says() {
    let cron = "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: tick\nspec:\n  \
        type: bindings.cron\n  version: v1\n  metadata:\n  - {name: schedule, value: \"@every 1s\"}\n";
    let routed = cron.replace("name: tick", "name: other").replace(
        "  metadata:\n  -",
        "  metadata:\n  - {name: route, value: /there}\n  - {name: direction, value: input}\n  -",
    );
    let app = App::start("[]", |_| Response::new(200, ""));
    let _sampan = Sampan::start(&[("tick", cron), ("other", &routed)], app.server.address.port());
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 2 {
        let request = app.next();
        assert_eq!(request.method, "POST");
        seen.insert(request.target);
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["/there", "/tick"]);
}
