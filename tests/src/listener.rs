//! A session that listens for NOTIFY.

use std::future::poll_fn;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_postgres::{AsyncMessage, Client, NoTls, Notification};

use crate::patience::within;

/// The session and what it heard.
#[derive(Debug)]
pub struct Listener {
    /// The session itself.
    pub client: Client,
    heard: UnboundedReceiver<Notification>,
}

impl Listener {
    /// Listens to a channel of a database.
    pub async fn to(channel: &str, url: &str) -> Self {
        let (client, mut connection) = within("connecting a listener", tokio_postgres::connect(url, NoTls))
            .await
            .expect("a listener connects");
        let (told, heard) = unbounded_channel();
        // Ends with the connection.
        tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
                if let AsyncMessage::Notification(notification) = message
                    && told.send(notification).is_err()
                {
                    return;
                }
            }
        });
        client.batch_execute(&format!("listen {channel}")).await.expect("LISTEN is accepted");
        Self { client, heard }
    }

    /// The next notification.
    pub async fn next(&mut self) -> Notification {
        within("a notification", self.heard.recv()).await.expect("the listener is connected")
    }

    /// The processes that sent what has arrived and was not asked for yet.
    pub async fn heard(&mut self) -> Vec<i32> {
        // What was sent before this question is delivered before its answer.
        self.client.batch_execute("select 1").await.expect("the listener is connected");
        std::iter::from_fn(|| self.heard.try_recv().ok()).map(|heard| heard.process_id()).collect()
    }

    /// Waits for a notification that a process sent.
    pub async fn hears_from(&mut self, process: i32) -> Notification {
        loop {
            let notification = self.next().await;
            if notification.process_id() == process {
                return notification;
            }
        }
    }
}
