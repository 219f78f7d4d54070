//! Signs tokens as identity providers do, and as those do who would like to be one.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::people::Person;

/// The secret of servers that verify.
pub const SECRET: &str = "a secret of the tests: long enough to be one";

/// Made for the tests, and of no use elsewhere.
const KEYS: &str = include_str!("../keys.json");

/// What a token is signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key<'a> {
    /// HMAC, whatever the header says.
    Secret(&'a [u8]),
    /// RSA, key id `rsa`.
    Rsa,
    /// P-256, key id `ec`.
    Ec,
    /// Ed25519, key id `ed`.
    Ed,
    /// Ed25519, a key that nobody has configured.
    Stranger,
}

/// Seconds since 1970.
#[must_use]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970").as_secs()
}

/// The public keys, as a JSON Web Key Set.
#[must_use]
pub fn key_set() -> String {
    keys()["public"].to_string()
}

/// A public key by its name in the file: as a JSON Web Key.
#[must_use]
pub fn public_key(name: &str) -> Value {
    keys()[name].clone()
}

/// What an honest token says of a person, good for ten minutes.
#[must_use]
pub fn claims(person: Person) -> Value {
    json!({
        "sub": person.id,
        "username": person.name,
        "tenantId": person.tenant,
        "email": person.email,
        "iat": now(),
        "exp": now() + 600,
    })
}

/// An honest token of a person.
#[must_use]
pub fn token(person: Person) -> String {
    hs256(&claims(person))
}

/// A token with these claims, signed with the secret.
#[must_use]
pub fn hs256(claims: &Value) -> String {
    signed(r#"{"typ":"JWT","alg":"HS256"}"#, &claims.to_string(), Key::Secret(SECRET.as_bytes()))
}

/// A token of these very texts.
#[must_use]
pub fn signed(header: &str, claims: &str, key: Key<'_>) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let (key, algorithm) = match key {
        Key::Secret(secret) => (EncodingKey::from_secret(secret), Algorithm::HS256),
        Key::Rsa => (EncodingKey::from_rsa_der(&private("rsa")), Algorithm::RS256),
        Key::Ec => (EncodingKey::from_ec_der(&private("ec")), Algorithm::ES256),
        Key::Ed => (EncodingKey::from_ed_der(&private("ed")), Algorithm::EdDSA),
        Key::Stranger => (EncodingKey::from_ed_der(&private("stranger")), Algorithm::EdDSA),
    };
    let signature =
        jsonwebtoken::crypto::sign(message.as_bytes(), &key, algorithm).expect("a message is signed");
    format!("{message}.{signature}")
}

/// Makes a token's tenant that of the client's transaction, and returns its user.
///
/// # Errors
///
/// When the token is refused.
pub async fn authenticate(client: &Client, token: &str) -> Result<Uuid, tokio_postgres::Error> {
    client.query_one("select authenticate_quote_user($1)", &[&token]).await.map(|row| row.get(0))
}

fn private(name: &str) -> Vec<u8> {
    let text = keys()["private"][name].as_str().expect("the key is there").to_owned();
    STANDARD.decode(text).expect("the key is base64")
}

fn keys() -> Value {
    serde_json::from_str(KEYS).expect("the keys are JSON")
}
