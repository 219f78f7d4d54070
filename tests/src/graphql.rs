//! GraphQL over HTTP, byte by byte: a test may also send what no client library would.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::gateway::Gateway;
use crate::patience::{eventually, within};

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body, null when it is no JSON.
    pub body: Value,
}

/// What an address gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The HTTP status.
    pub status: u16,
    /// The body, null when it is no JSON.
    pub body: Value,
    /// All of it, headers included.
    pub text: String,
}

impl Answer {
    /// What an operation gave. There must be no error.
    #[must_use]
    pub fn data(&self, field: &str) -> &Value {
        assert!(self.body.get("errors").is_none(), "{self:?}");
        &self.body["data"][field]
    }

    /// The code of the first error.
    #[must_use]
    pub fn code(&self) -> &str {
        self.body["errors"][0]["extensions"]["code"].as_str().unwrap_or("no error")
    }
}

/// Asks the gateway as the user of a token.
pub async fn ask(gateway: &Gateway, token: &str, query: &str, variables: Value) -> Answer {
    let body = json!({ "query": query, "variables": variables }).to_string();
    post(gateway, Some(&format!("Bearer {token}")), body.as_bytes()).await
}

/// Asks the gateway as the user of a token, for the body as it was sent.
pub async fn ask_text(gateway: &Gateway, token: &str, query: &str, variables: Value) -> String {
    let body = json!({ "query": query, "variables": variables }).to_string();
    let text = post_text(gateway, Some(&format!("Bearer {token}")), body.as_bytes()).await;
    text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
}

/// Posts a body as it is.
pub async fn post(gateway: &Gateway, authorization: Option<&str>, body: &[u8]) -> Answer {
    parse(&post_text(gateway, authorization, body).await)
}

async fn post_text(gateway: &Gateway, authorization: Option<&str>, body: &[u8]) -> String {
    let credentials = authorization.map(|text| format!("Authorization: {text}\r\n")).unwrap_or_default();
    let head = format!(
        "POST /graphql HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Accept: application/json\r\nContent-Length: {}\r\n{credentials}\r\n",
        body.len()
    );
    within("an answer over HTTP", talk(gateway, &[head.as_bytes(), body])).await
}

/// Gets an address of the gateway.
pub async fn get(gateway: &Gateway, path: &str) -> Page {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let text = within("an answer over HTTP", talk(gateway, &[request.as_bytes()])).await;
    let Answer { status, body } = parse(&text);
    Page { status, body, text }
}

/// Waits until the relay of a gateway has the lease.
pub async fn leads(gateway: &Gateway) {
    eventually("it relays", async || get(gateway, "/health/nats").await.body["relay"]["role"] == "leading")
        .await;
}

/// The value of a metric of the gateway.
pub async fn metric(gateway: &Gateway, name: &str) -> f64 {
    let text = get(gateway, "/metrics").await.text;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} is missing in {text}")).parse().expect("a number")
}

/// Sends bytes over a connection of their own: everything that comes back.
pub async fn talk(gateway: &Gateway, parts: &[&[u8]]) -> String {
    let url = gateway.url();
    let address = url.strip_prefix("http://").expect("the gateway is served over HTTP");
    let stream = TcpStream::connect(address).await.expect("the gateway takes connections");
    let (mut reader, mut writer) = stream.into_split();
    let write = async {
        for part in parts {
            // A server that has refused a body stops reading it; its answer says why.
            if writer.write_all(part).await.is_err() {
                return;
            }
        }
    };
    let read = async {
        let mut text = Vec::new();
        // Closing with unread input resets the connection, which is an error only behind the answer.
        let _ = reader.read_to_end(&mut text).await;
        text
    };
    let ((), text) = tokio::join!(write, read);
    String::from_utf8(text).expect("the answer is text")
}

fn parse(text: &str) -> Answer {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no HTTP answer: {text:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Answer { status: status.expect("an HTTP status"), body: serde_json::from_str(body).unwrap_or_default() }
}
