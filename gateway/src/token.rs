//! Tokens: who somebody is and for how long.
//!
//! Only HS256 is accepted, whatever a token's header asks for. The claims are `sub` (user id), `username`,
//! `tenantId`, `email` and `exp`; the first and third must be UUIDs, and a token without `exp` is refused.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, TokenData, Validation};
use quote_collab_core::token::{Claims, LONGEST, NumericDate, Untimely};
use uuid::Uuid;

use crate::secret::Secret;

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
        if token.len() > LONGEST {
            return Err(TokenError::Invalid);
        }
        let TokenData { header, claims } = jsonwebtoken::decode::<Claims>(token, &self.key, &self.validation)
            .map_err(|_| TokenError::Invalid)?;
        // Extensions that must be understood, and we understand none.
        if header.crit.is_some() || header.extras.inner().contains_key("b64") {
            return Err(TokenError::Invalid);
        }
        claims.hold_at(now().as_secs()).map_err(|untimely| match untimely {
            Untimely::Expired => TokenError::Expired,
            Untimely::NotYet => TokenError::Invalid,
        })?;
        Ok(Identity {
            user: claims.sub,
            username: claims.username,
            tenant: claims.tenant_id,
            email: claims.email,
            expires_at: claims.exp.0,
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
    /// Somebody without a name whose token never ends.
    #[cfg(test)]
    #[must_use]
    pub fn numbered(user: u128, tenant: u128) -> Self {
        let (user, tenant) = (Uuid::from_u128(user), Uuid::from_u128(tenant));
        Self { user, username: None, tenant, email: None, expires_at: u64::MAX }
    }

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
        exp: NumericDate(identity.expires_at),
        nbf: None,
        iat: Some(NumericDate(now().as_secs())),
        aud: None,
        iss: None,
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
