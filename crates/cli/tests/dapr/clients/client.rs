//! The building blocks by the crate `dapr`, over gRPC. The test that runs it compiles it by itself.

use dapr::Client;
use std::collections::HashMap;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Where the environment says.
    let mut client = Client::new().await?;

    client.save_state("statestore", "one", b"1.50".to_vec(), None, None, None).await?;
    let first = client.get_state("statestore", "one", None).await?;
    assert_eq!((&*first.data, first.etag.is_empty()), (&b"1.50"[..], false));
    let items = vec![("a", b"\x00\xff".to_vec()).into(), ("b", b"2".to_vec()).into()];
    client.save_bulk_states("statestore", items).await?;
    assert_eq!(client.get_state("statestore", "a", None).await?.data, b"\x00\xff");
    client.delete_state("statestore", "one", None).await?;
    assert!(client.get_state("statestore", "one", None).await?.data.is_empty());
    let refused = client.save_state("statestore", "a||b", b"1".to_vec(), None, None, None).await;
    assert!(refused.is_err_and(|error| format!("{error:?}").contains("can't contain '||'")));
    assert!(client.get_state("other", "one", None).await.is_err());

    let metadata = HashMap::from([("ttlInSeconds".to_owned(), "60".to_owned())]);
    client.publish_event("pubsub", "topic", "text/plain", b"an event".to_vec(), Some(metadata)).await?;

    let secret = client.get_secret("secrets", "password").await?;
    assert_eq!(secret.data["password"], "s3cret");
    assert_eq!(client.get_bulk_secret("secrets", None).await?.data["password"].secrets["password"], "s3cret");

    let data = b"a text".to_vec();
    let name = HashMap::from([("fileName".to_owned(), "file".to_owned())]);
    client.invoke_binding("files", data, "create", Some(name.clone())).await?;
    assert_eq!(client.invoke_binding("files", Vec::new(), "get", Some(name)).await?.data, b"a text");

    let items = client.get_configuration("config", vec!["color"], None).await?.items;
    assert_eq!(items["color"].value, "blue");

    client.set_metadata("by", "rust").await?;
    let metadata = client.get_metadata().await?;
    assert_eq!((&*metadata.id, &*metadata.extended_metadata["by"]), ("shop", "rust"));

    let answer = client.invoke_service("shop", "a/b", None).await?;
    assert_eq!(answer.data.map(|data| data.value), Some(b"POST /a/b".to_vec()));
    println!("done");
    Ok(())
}
