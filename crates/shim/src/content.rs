//! What containerd has of a container's image, asked over its gRPC API: only for images with files that it does not
//! unpack, which are few, so nothing is asked and no connection is made for others.
//!
//! Source: containerd, `api/services/{containers,images,content}/v1/*.proto` and `api/types/descriptor.proto`.

use crate::fail::{Context, Result};
use http::uri::PathAndQuery;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::io::{self, Read};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::runtime::Handle;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Code, Request, Streaming};
use tonic_prost::ProstCodec;

/// containerd answers from its disk.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// containerd sends content in pieces of 1 MiB (`plugins/services/content/contentserver`).
const MESSAGE_MAX_BYTES: usize = 16 << 20;

/// Which document an image is.
#[derive(Clone, Debug)]
pub struct Target {
    pub media_type: String,
    pub digest: String,
    pub size: u64,
}

/// A connection to containerd, in one of its namespaces. Its methods block, and are for threads that may.
pub struct Content {
    grpc: Grpc<Connection>,
    namespace: MetadataValue<Ascii>,
    runtime: Handle,
}

impl Content {
    /// `address` is a Unix socket's path. Call this where Tokio's runtime is known.
    pub fn connect(address: &str, namespace: &str) -> Result<Self> {
        let runtime = Handle::current();
        let path = address.strip_prefix("unix://").unwrap_or(address).to_owned();
        let connection = runtime
            .block_on(in_time(Connection::open(&path)))
            .context(format!("cannot ask containerd at {path}"))?;
        let grpc = Grpc::with_origin(connection, http::Uri::from_static("http://containerd"))
            .max_decoding_message_size(MESSAGE_MAX_BYTES);
        let namespace = namespace.parse().context("the namespace")?;
        Ok(Content { grpc, namespace, runtime })
    }

    /// The image that a container was made of; `None` where containerd does not know it, as under an old Docker, which
    /// has images of its own.
    pub fn image_of(&mut self, container: &str) -> Result<Option<Target>> {
        let asked = GetRequest { name: container.to_owned() };
        let found = self.get::<ContainerReply>("/containerd.services.containers.v1.Containers/Get", asked)?;
        let image =
            found.and_then(|reply| reply.container).map(|container| container.image).unwrap_or_default();
        if image.is_empty() {
            return Ok(None);
        }
        let found =
            self.get::<ImageReply>("/containerd.services.images.v1.Images/Get", GetRequest { name: image })?;
        let target = found.and_then(|reply| reply.image).and_then(|image| image.target);
        Ok(target.map(|target| Target {
            media_type: target.media_type,
            digest: target.digest,
            size: u64::try_from(target.size).unwrap_or_default(),
        }))
    }

    /// The bytes of a blob.
    pub fn open(&mut self, digest: &str) -> io::Result<Box<dyn Read>> {
        let path = PathAndQuery::from_static("/containerd.services.content.v1.Content/Read");
        let request = self.request(ReadRequest { digest: digest.to_owned() });
        let codec = ProstCodec::<ReadRequest, ReadReply>::default();
        let grpc = &mut self.grpc;
        let asking = async {
            grpc.ready().await.map_err(io::Error::other)?;
            grpc.server_streaming(request, path, codec).await.map_err(io::Error::other)
        };
        let stream = self.runtime.block_on(in_time(asking))?.into_inner();
        Ok(Box::new(Blob { stream, piece: io::Cursor::default(), runtime: self.runtime.clone() }))
    }

    /// Asks for one thing by its name.
    fn get<T: prost::Message + Default + 'static>(
        &mut self,
        path: &'static str,
        asked: GetRequest,
    ) -> Result<Option<T>> {
        let request = self.request(asked);
        let grpc = &mut self.grpc;
        let asking = async {
            grpc.ready().await.map_err(io::Error::other)?;
            let codec = ProstCodec::<GetRequest, T>::default();
            match grpc.unary(request, PathAndQuery::from_static(path), codec).await {
                Ok(reply) => Ok(Some(reply.into_inner())),
                Err(status) if status.code() == Code::NotFound => Ok(None),
                Err(status) => Err(io::Error::other(status)),
            }
        };
        self.runtime.block_on(in_time(asking)).context(format!("cannot ask containerd ({path})"))
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("containerd-namespace", self.namespace.clone());
        request
    }
}

async fn in_time<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let done = tokio::time::timeout(ANSWER_MAX, work).await;
    done.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "it does not answer")))
}

/// The rest of a blob, as it comes.
struct Blob {
    stream: Streaming<ReadReply>,
    piece: io::Cursor<Vec<u8>>,
    runtime: Handle,
}

impl Read for Blob {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.piece.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            let stream = &mut self.stream;
            let next = in_time(async { stream.message().await.map_err(io::Error::other) });
            match self.runtime.block_on(next)? {
                Some(reply) => self.piece = io::Cursor::new(reply.data),
                None => return Ok(0),
            }
        }
    }
}

/// One HTTP/2 connection, as tonic calls it.
struct Connection(SendRequest<Body>);

impl Connection {
    async fn open(path: &str) -> io::Result<Self> {
        let stream = UnixStream::connect(path).await?;
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(io::Error::other)?;
        // It ends with its sender; whoever asks hears of errors.
        tokio::spawn(connection);
        Ok(Connection(sender))
    }
}

impl tower_service::Service<http::Request<Body>> for Connection {
    type Response = http::Response<hyper::body::Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = std::result::Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(
        &mut self,
        context: &mut std::task::Context<'_>,
    ) -> Poll<std::result::Result<(), hyper::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

/// `GetContainerRequest` and `GetImageRequest`: the id, or the name.
#[derive(Clone, PartialEq, prost::Message)]
struct GetRequest {
    #[prost(string, tag = "1")]
    name: String,
}

/// `GetContainerResponse`
#[derive(Clone, PartialEq, prost::Message)]
struct ContainerReply {
    #[prost(message, optional, tag = "1")]
    container: Option<ContainerRecord>,
}

/// `Container`
#[derive(Clone, PartialEq, prost::Message)]
struct ContainerRecord {
    #[prost(string, tag = "3")]
    image: String,
}

/// `GetImageResponse`
#[derive(Clone, PartialEq, prost::Message)]
struct ImageReply {
    #[prost(message, optional, tag = "1")]
    image: Option<ImageRecord>,
}

/// `Image`
#[derive(Clone, PartialEq, prost::Message)]
struct ImageRecord {
    #[prost(message, optional, tag = "3")]
    target: Option<DescriptorRecord>,
}

/// `Descriptor`
#[derive(Clone, PartialEq, prost::Message)]
struct DescriptorRecord {
    #[prost(string, tag = "1")]
    media_type: String,
    #[prost(string, tag = "2")]
    digest: String,
    #[prost(int64, tag = "3")]
    size: i64,
}

/// `ReadContentRequest`: without a size, to the end.
#[derive(Clone, PartialEq, prost::Message)]
struct ReadRequest {
    #[prost(string, tag = "1")]
    digest: String,
}

/// `ReadContentResponse`
#[derive(Clone, PartialEq, prost::Message)]
struct ReadReply {
    #[prost(bytes = "vec", tag = "2")]
    data: Vec<u8>,
}
