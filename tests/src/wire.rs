//! A WebSocket without a library: it reads when the test wants, and sends frames that no library would.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::gateway::Gateway;
use crate::patience::within;
use crate::people::Person;

/// A whole text.
const TEXT: u8 = 0x81;
/// The first frame of a text in several.
pub const BEGINNING: u8 = 0x01;
const MIDDLE: u8 = 0x00;
/// The last frame of such a text.
pub const END: u8 = 0x80;
const CLOSE: u8 = 0x88;
/// A ping.
pub const PING: u8 = 0x89;
/// The answer to a ping.
pub const PONG: u8 = 0x8a;
/// The rest of a handshake that is always the same.
const HANDSHAKE: &str = "GET /graphql HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n";

/// A connection that takes little unless it is read.
#[derive(Debug)]
pub struct Wire(TcpStream);

impl Wire {
    /// A socket of somebody who was let in.
    pub async fn open(gateway: &Gateway, person: &Person) -> Self {
        let mut wire = Self::knock(gateway).await;
        wire.tell(&json!({ "type": "connection_init", "payload": { "authToken": gateway.token(person) } }))
            .await;
        assert_eq!(wire.message().await["type"], "connection_ack");
        wire
    }

    /// A socket of somebody who has not said who he is.
    pub async fn knock(gateway: &Gateway) -> Self {
        let address = gateway.url().trim_start_matches("http://").parse().expect("an address");
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("a small buffer");
        let stream = socket.connect(address).await.expect("the gateway takes connections");
        let mut wire = Self(stream);
        wire.send(HANDSHAKE.as_bytes()).await;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(within("an upgrade", wire.0.read_u8()).await.expect("an answer"));
        }
        wire
    }

    /// Sends a message.
    pub async fn tell(&mut self, message: &Value) {
        self.frame(TEXT, message.to_string().as_bytes()).await;
    }

    /// Begins an operation.
    pub async fn begin(&mut self, id: &str, query: &str, variables: &Value) {
        let payload = json!({ "query": query, "variables": variables });
        self.tell(&json!({ "type": "subscribe", "id": id, "payload": payload })).await;
    }

    /// Sends a masked frame whose first byte is this one.
    pub async fn frame(&mut self, first: u8, payload: &[u8]) {
        let mut bytes = vec![first];
        match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
            (Ok(short @ 0..126), _) => bytes.push(0x80 | short),
            (_, Ok(longer)) => {
                bytes.push(0xfe);
                bytes.extend(longer.to_be_bytes());
            }
            _ => {
                bytes.push(0xff);
                bytes.extend((payload.len() as u64).to_be_bytes());
            }
        }
        // A mask that changes nothing.
        bytes.extend([0; 4]);
        bytes.extend(payload);
        self.send(&bytes).await;
    }

    /// Sends bytes as they are.
    pub async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.expect("the gateway reads");
    }

    /// Waits until there is something to read, and leaves it there.
    pub async fn has_more(&self) {
        within("something to read", self.0.peek(&mut [0])).await.expect("the connection lives");
    }

    /// The next message. Pings before it are answered, as every client does: who says nothing for long is taken for gone.
    pub async fn message(&mut self) -> Value {
        let mut text = Vec::new();
        loop {
            let (first, payload) = within("a frame", self.next()).await.expect("the connection lives");
            match first {
                TEXT | BEGINNING => text = payload,
                MIDDLE | END => text.extend(payload),
                CLOSE => panic!("closed: {payload:?}"),
                PING => self.frame(PONG, &payload).await,
                _ => {}
            }
            if matches!(first, TEXT | END) {
                return serde_json::from_slice(&text).expect("a message is JSON");
            }
        }
    }

    /// The first byte of the frame that comes next.
    pub async fn frame_kind(&mut self) -> u8 {
        within("a frame", self.next()).await.expect("the connection lives").0
    }

    /// The code of the close that comes next.
    pub async fn close_code(&mut self) -> u16 {
        loop {
            let (first, payload) = within("a close", self.next()).await.expect("a close comes first");
            if first == CLOSE {
                return u16::from_be_bytes([payload[0], payload[1]]);
            }
        }
    }

    async fn next(&mut self) -> std::io::Result<(u8, Vec<u8>)> {
        let first = self.0.read_u8().await?;
        let size = match self.0.read_u8().await? {
            126 => usize::from(self.0.read_u16().await?),
            127 => usize::try_from(self.0.read_u64().await?).expect("a size"),
            short => short.into(),
        };
        let mut payload = vec![0; size];
        self.0.read_exact(&mut payload).await?;
        Ok((first, payload))
    }
}
