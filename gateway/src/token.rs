//! Tokens: who somebody is and for how long.
//!
//! Only HS256 is accepted, whatever a token's header asks for. The claims are `sub` (user id), `username`,
//! `tenantId`, `email` and `exp`; the first and third must be UUIDs, and a token without `exp` is refused.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use crate::secret::Secret;

/// Tolerance for a `nbf` set by a clock that runs a little ahead of ours. Expiry has none.
const NOT_BEFORE_LEEWAY_SECONDS: u64 = 5;
/// Up to here a number with a fraction names its second exactly; it is later than any clock will show.
const LATEST: f64 = 9_007_199_254_740_992.0;
/// No honest token comes near this; a larger one is not even decoded.
const LONGEST_TOKEN: usize = 8 * 1024;

/// Who is asking, as a verified token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub user: Uuid,
    /// The user's name.
    pub username: Option<String>,
    /// The user's tenant: the only source of a tenant in this gateway.
    pub tenant: Uuid,
    /// The user's e-mail.
    pub email: Option<String>,
    /// When the token ends, in seconds since 1970.
    pub expires_at: u64,
}

/// Why a token is refused. The text never repeats the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// There is none.
    #[error("a bearer token is required")]
    Absent,
    /// It is past its end.
    #[error("the token has expired")]
    Expired,
    /// It is not one of ours.
    #[error("the token is not valid")]
    Invalid,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Claims {
    sub: Uuid,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    tenant_id: Uuid,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    #[serde(deserialize_with = "seconds")]
    exp: u64,
    #[serde(default, deserialize_with = "seconds", skip_serializing_if = "is_zero")]
    nbf: u64,
    #[serde(default, skip_deserializing, skip_serializing_if = "is_zero")]
    iat: u64,
}

/// Seconds since 1970, which may have a fraction: RFC 7519 calls that a `NumericDate`. Only whole ones count.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let number = serde_json::Number::deserialize(deserializer)?;
    let seconds = number.as_u64().or_else(|| number.as_f64().and_then(whole));
    seconds.ok_or_else(|| serde::de::Error::custom("no time"))
}

fn whole(seconds: f64) -> Option<u64> {
    let in_range = (0.0..=LATEST).contains(&seconds);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
    in_range.then_some(seconds as u64)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "it is what serde gives")]
const fn is_zero(seconds: &u64) -> bool {
    *seconds == 0
}

/// Verifies tokens.
#[derive(Clone)]
pub struct TokenVerifier {
    key: DecodingKey,
    validation: Validation,
}

impl TokenVerifier {
    /// A verifier for tokens signed with this secret.
    #[must_use]
    pub fn new(secret: &Secret) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.algorithms = vec![Algorithm::HS256];
        // The library rounds times that are no whole seconds, and wants claims that ours have anyway.
        validation.set_required_spec_claims::<&str>(&[]);
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        Self { key: DecodingKey::from_secret(secret.expose().as_bytes()), validation }
    }

    /// Who the token says is asking.
    ///
    /// # Errors
    ///
    /// When it is not one of ours or not valid now.
    pub fn verify(&self, token: &str) -> Result<Identity, TokenError> {
        if token.len() > LONGEST_TOKEN {
            return Err(TokenError::Invalid);
        }
        let claims = jsonwebtoken::decode::<Claims>(token, &self.key, &self.validation)
            .map_err(|_| TokenError::Invalid)?
            .claims;
        let now = now().as_secs();
        if claims.exp <= now {
            return Err(TokenError::Expired);
        }
        if claims.nbf > now.saturating_add(NOT_BEFORE_LEEWAY_SECONDS) {
            return Err(TokenError::Invalid);
        }
        Ok(Identity {
            user: claims.sub,
            username: claims.username,
            tenant: claims.tenant_id,
            email: claims.email,
            expires_at: claims.exp,
        })
    }

    /// Who a header or parameter of the form `Bearer <token>` says is asking.
    ///
    /// # Errors
    ///
    /// When the form is another, or as for [`TokenVerifier::verify`].
    pub fn verify_bearer(&self, text: &str) -> Result<Identity, TokenError> {
        match text.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => self.verify(token.trim()),
            _ => Err(TokenError::Invalid),
        }
    }
}

impl Identity {
    /// How long the token is still good.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        Duration::from_secs(self.expires_at).saturating_sub(now())
    }
}

/// Signs a token that is good from now on.
///
/// # Errors
///
/// When the cryptographic library fails.
pub fn sign(identity: &Identity, secret: &Secret) -> Result<String, jsonwebtoken::errors::Error> {
    let claims = Claims {
        sub: identity.user,
        username: identity.username.clone(),
        tenant_id: identity.tenant,
        email: identity.email.clone(),
        exp: identity.expires_at,
        nbf: 0,
        iat: now().as_secs(),
    };
    let key = EncodingKey::from_secret(secret.expose().as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)
}

/// The end of a token that begins now.
#[must_use]
pub fn expiry(life: Duration) -> u64 {
    now().saturating_add(life).as_secs()
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests;
