//! What goes wrong in a call, as Dapr's clients know it: a code, a status of HTTP and one of gRPC, a message and
//! details.
//!
//! Codes, statuses and texts are those of dapr/dapr `pkg/api/errors` and `pkg/messages/predefined.go`.

mod rich;

use http::StatusCode;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tonic::Code;

/// An answer that is an error.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    pub status: StatusCode,
    pub grpc: Code,
    /// `ERR_…`.
    pub code: &'static str,
    pub message: String,
    /// Boxed: nothing fails most of the time.
    details: Option<Box<Details>>,
}

#[derive(Clone, Debug, PartialEq)]
struct Details {
    /// `DAPR_…`.
    reason: String,
    metadata: BTreeMap<String, String>,
    resource: Option<Resource>,
    /// What field of the request is wrong, and why.
    violation: Option<(String, String)>,
}

#[derive(Clone, Debug, PartialEq)]
struct Resource {
    kind: String,
    name: String,
    description: String,
}

impl Problem {
    pub fn new(status: StatusCode, grpc: Code, code: &'static str, message: impl Into<String>) -> Self {
        Problem { status, grpc, code, message: message.into(), details: None }
    }

    /// A request that makes no sense.
    pub fn malformed(message: impl Into<String>) -> Self {
        Problem::new(StatusCode::BAD_REQUEST, Code::InvalidArgument, "ERR_MALFORMED_REQUEST", message)
    }

    /// An operation in a transaction that is neither an upsert nor a delete.
    pub fn unknown_operation(name: &str) -> Self {
        let message = format!("operation type {name} not supported");
        let code = "ERR_NOT_SUPPORTED_STATE_OPERATION";
        Problem::new(StatusCode::BAD_REQUEST, Code::Unimplemented, code, message)
    }

    /// Something that failed on this side.
    pub fn internal(code: &'static str, message: impl Into<String>) -> Self {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, Code::Internal, code, message)
    }

    /// A building block that the app's grants or scopes keep from the caller.
    pub fn denied(what: &str) -> Self {
        let message = format!("{what} is not granted to the caller");
        Problem::new(StatusCode::FORBIDDEN, Code::PermissionDenied, "ERR_PERMISSION_DENIED", message)
    }

    /// The machine-readable reason: `DAPR_…`.
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.details_mut().reason = reason.into();
        self
    }

    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.details_mut().metadata.insert(name.to_owned(), value.into());
        self
    }

    pub fn resource(mut self, kind: &str, name: &str, description: impl Into<String>) -> Self {
        let resource =
            Resource { kind: kind.to_owned(), name: name.to_owned(), description: description.into() };
        self.details_mut().resource = Some(resource);
        self
    }

    pub fn violation(mut self, field: &str, description: impl Into<String>) -> Self {
        self.details_mut().violation = Some((field.to_owned(), description.into()));
        self
    }

    fn details_mut(&mut self) -> &mut Details {
        self.details.get_or_insert_with(|| {
            Box::new(Details {
                reason: String::new(),
                metadata: BTreeMap::new(),
                resource: None,
                violation: None,
            })
        })
    }

    /// The body over HTTP.
    pub fn body(&self) -> Vec<u8> {
        let mut body = json!({ "errorCode": self.code, "message": self.message });
        if let Some(details) = &self.details {
            let mut list = vec![error_info(details)];
            if let Some(Resource { kind, name, description }) = &details.resource {
                let mut resource = json!({
                    "@type": "type.googleapis.com/google.rpc.ResourceInfo",
                    "resource_type": kind,
                    "resource_name": name,
                });
                if !description.is_empty() {
                    resource["description"] = description.as_str().into();
                }
                list.push(resource);
            }
            if let Some((field, description)) = &details.violation {
                list.push(json!({
                    "@type": "type.googleapis.com/google.rpc.BadRequest",
                    "field_violations": [{ "field": field, "description": description }],
                }));
            }
            body["details"] = Value::Array(list);
        }
        body.to_string().into_bytes()
    }
}

fn error_info(details: &Details) -> Value {
    json!({
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "domain": "dapr.io",
        "reason": details.reason,
        "metadata": if details.metadata.is_empty() { Value::Null } else { json!(details.metadata) },
    })
}

impl From<Problem> for tonic::Status {
    fn from(problem: Problem) -> Self {
        match &problem.details {
            None => tonic::Status::new(problem.grpc, problem.message),
            Some(details) => {
                let encoded = rich::encode(problem.grpc, &problem.message, details);
                tonic::Status::with_details(problem.grpc, problem.message, encoded)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_are_there_where_dapr_has_them() {
        let plain = Problem::malformed("no");
        assert_eq!(plain.body(), br#"{"errorCode":"ERR_MALFORMED_REQUEST","message":"no"}"#);
        let problem = Problem::internal("ERR_STATE_SAVE", "no").reason("DAPR_STATE_X").with("appID", "a");
        let body: Value = serde_json::from_slice(&problem.resource("state", "s", "").body()).expect("JSON");
        assert_eq!(body["details"][0]["reason"], "DAPR_STATE_X");
        assert_eq!(body["details"][0]["metadata"]["appID"], "a");
        assert_eq!(body["details"][1]["resource_name"], "s");
        assert_eq!(body["details"][1].get("description"), None);
    }
}
