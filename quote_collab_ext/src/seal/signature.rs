//! Signatures of seals: Ed25519 (RFC 8032) under a key that the server's configuration holds and no table does. Whoever can
//! write every table, but not the configuration, cannot make up a chain of seals.

use std::ffi::{c_char, c_void};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use pgrx::prelude::*;

use crate::guc::secret::Secret;
use crate::worker;

static KEY: Secret = Secret::new();

/// Defines the setting.
pub fn define() {
    KEY.define(
        c"quote_collab.seal_key",
        [
            c"Key that seals of the history are signed with.",
            c"32 random bytes in base64. Used only where the library is preloaded: elsewhere a session could read it before the library is loaded. Empty for none.",
        ],
        Some(keep_key),
    );
}

#[expect(unsafe_code, reason = "PostgreSQL's C interface")]
unsafe extern "C-unwind" fn keep_key(_shown: *const c_char, extra: *mut c_void) {
    KEY.keep(extra);
}

/// The configured key, or why there is none to use.
fn configured() -> Result<SigningKey, Option<&'static str>> {
    let text = KEY.get().ok_or(None)?;
    if !worker::is_preloaded() {
        return Err(Some("the library is not preloaded"));
    }
    let bytes = STANDARD.decode(text.as_bytes()).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    bytes.map(|bytes| SigningKey::from_bytes(&bytes)).ok_or(Some("it is not 32 bytes in base64"))
}

/// The public key that belongs to `quote_collab.seal_key`; null when seals are not signed.
#[pg_extern(stable, parallel_restricted)]
pub fn quote_seal_key() -> Option<Vec<u8>> {
    configured().ok().map(|key| key.verifying_key().to_bytes().to_vec())
}

/// Why seals are not signed although a key is configured; null when all is well.
#[pg_extern(stable, parallel_restricted)]
pub fn quote_seal_key_problem() -> Option<&'static str> {
    configured().err().flatten()
}

/// Signs the hash of a block; null when seals are not signed.
#[pg_extern(stable, strict, parallel_restricted)]
pub fn sign_quote_seal(hash: &[u8]) -> Option<Vec<u8>> {
    configured().ok().map(|key| key.sign(hash).to_bytes().to_vec())
}

/// Whether a signature of a hash holds under a public key; false for what is neither.
#[pg_extern(immutable, strict, parallel_safe)]
pub fn quote_seal_signature_holds(hash: &[u8], signature: &[u8], public_key: &[u8]) -> bool {
    let key = public_key.try_into().ok().and_then(|key| VerifyingKey::from_bytes(key).ok());
    let signature = Signature::from_slice(signature).ok();
    key.zip(signature).is_some_and(|(key, signature)| key.verify_strict(hash, &signature).is_ok())
}

extension_sql!(
    r"
comment on function quote_seal_key() is 'public key that seals are signed for; null when they are not';
comment on function quote_seal_key_problem() is 'doctor: why seals are not signed although a key is configured';
comment on function sign_quote_seal(bytea) is 'signs the hash of a seal; null when seals are not signed';
comment on function quote_seal_signature_holds(bytea, bytea, bytea) is 'whether the signature of a seal holds under a public key';
revoke execute on function sign_quote_seal(bytea), quote_seal_key_problem() from public;
",
    name = "signature_comments",
    requires = [quote_seal_key, quote_seal_key_problem, sign_quote_seal, quote_seal_signature_holds]
);
