//! People at the page of the gateway, in a headless Chromium.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::gateway::Gateway;
use crate::node::{Node, node};

/// A browser with one window per person.
#[derive(Debug)]
pub struct Browser {
    node: Node,
}

impl Browser {
    /// Starts it.
    #[must_use]
    pub fn start() -> Self {
        Self { node: node("page.mjs", &[], &[]) }
    }

    /// Opens a quote in a person's window.
    pub async fn open(&mut self, user: &str, gateway: &Gateway, token: &str, quote: Uuid) {
        let url = format!("{}/#token={token}&quote={quote}", gateway.url());
        self.carry_out(json!({ "user": user, "open": url })).await;
        self.see(user, "#state[data-state=live]", "").await;
    }

    /// Types over what a field holds.
    pub async fn fill(&mut self, user: &str, selector: &str, value: &str) {
        self.carry_out(json!({ "user": user, "fill": selector, "value": value })).await;
    }

    /// Clicks.
    pub async fn click(&mut self, user: &str, selector: &str) {
        self.carry_out(json!({ "user": user, "click": selector })).await;
    }

    /// Presses a key where the focus is.
    pub async fn press(&mut self, user: &str, key: &str) {
        self.carry_out(json!({ "user": user, "press": key })).await;
    }

    /// Waits until something visible has this text in it, and returns all of its text.
    pub async fn see(&mut self, user: &str, selector: &str, text: &str) -> String {
        let answer = self.carry_out(json!({ "user": user, "see": selector, "text": text })).await;
        answer["seen"].as_str().unwrap_or_default().to_owned()
    }

    /// Waits until something is not to be seen any more.
    pub async fn see_no(&mut self, user: &str, selector: &str) {
        self.carry_out(json!({ "user": user, "gone": selector })).await;
    }

    /// Keeps back from a person's page the answers to operations that have this text in them.
    pub async fn hold(&mut self, user: &str, text: &str) {
        self.carry_out(json!({ "user": user, "hold": text })).await;
    }

    /// Waits until one is there.
    pub async fn held(&mut self, user: &str) {
        self.carry_out(json!({ "user": user, "held": true })).await;
    }

    /// Lets them come.
    pub async fn let_go(&mut self, user: &str) {
        self.carry_out(json!({ "user": user, "let": true })).await;
    }

    /// Waits until the window opens another socket, which is not taken by the gateway.
    pub async fn knock(&mut self, user: &str) {
        self.carry_out(json!({ "user": user, "knock": true })).await;
    }

    /// Closes a person's window.
    pub async fn leave(&mut self, user: &str) {
        self.carry_out(json!({ "user": user, "leave": true })).await;
    }

    /// Kills the browser with all its windows.
    pub async fn kill(&mut self) {
        self.carry_out(json!({ "kill": true })).await;
    }

    /// What a page complains about, a breach of its content security policy for example, fails the test.
    async fn carry_out(&mut self, command: Value) -> Value {
        self.node.tell(&command).await;
        let answer = self.node.next().await;
        assert!(answer["ok"] == true, "{command}: {answer}");
        answer
    }
}
