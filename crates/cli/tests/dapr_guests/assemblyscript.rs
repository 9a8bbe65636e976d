//! The client library for AssemblyScript: each of its calls.

use crate::{COMPONENTS, run};
use sampan_testing::{HttpServer, Response, dapr_library_guest, temp_dir};

#[test]
fn every_call_of_the_library() {
    let Some(guest) = dapr_library_guest() else { return };
    let partner = HttpServer::start(|request| {
        let body = String::from_utf8_lossy(&request.body);
        let said = format!("{} {} {body}", request.method, request.target);
        Response::new(201, said).with("X-From", "partner")
    });
    let home = temp_dir();
    let folder = home.path().join("components");
    std::fs::create_dir(&folder).unwrap();
    let endpoint = format!(
        "---\napiVersion: dapr.io/v1alpha1\nkind: HTTPEndpoint\nmetadata: {{ name: partner }}\nspec: {{ baseUrl: \
         \"http://{}\" }}\n",
        partner.address
    );
    let components = COMPONENTS.replace("FOLDER", &home.path().display().to_string());
    std::fs::write(folder.join("all.yaml"), components + &endpoint).unwrap();
    std::fs::write(home.path().join("secrets.json"), r#"{"password":"s3cret","user":"ada"}"#).unwrap();
    let finished = run(&["--dapr", folder.to_str().unwrap(), guest.to_str().unwrap()], home.path());
    let expected = [
        "save: done",
        r#"one: {"n": 1.50}, two: "zwölf \"2\"", absent: nothing"#,
        "over the first version: done",
        "over it again: conflict true",
        "first write: conflict true",
        "expiring: done",
        "transaction: done",
        "bulk: one=2 three=[3] two=nothing",
        "remove: done",
        "one: nothing",
        "a key that cannot be: 400 ERR_MALFORMED_REQUEST: input key/keyPrefix 'a||b' can't contain '||'",
        "publish: done",
        "publish text: done",
        "publish nowhere: 404 ERR_PUBSUB_NOT_FOUND: pubsub none is not found",
        "secret: s3cret",
        "secrets: 2, ada",
        "no secret: none",
        "invoke: 201 PUT /a/b?c=d ahoy",
        "header: partner",
        "metadata: 6 members",
        "send: 400",
        "",
    ];
    assert_eq!((finished.code, finished.stdout), (0, expected.join("\n")), "{}", finished.stderr);
}
